"""The Celery worker: its settings, its broker, its sweep and the runs that it sends. The tasks are in ``celery_app``.

Each sweep reads from the tenant what is due. A message that is lost or delivered twice changes nothing.
"""
