"""What the Celery worker does: find what is due, rotate, verify. Tasks themselves are in ``celery_app``.

Messages are hints and the tenant is the truth: each sweep finds by itself what is due, so that a message that is
lost or comes twice changes nothing.
"""
