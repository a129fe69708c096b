"""The Celery worker: its settings, its broker, its sweep and its runs. The tasks are in ``celery_app``.

Each sweep reads from the tenant what is due. A message that is lost or delivered twice changes nothing.
"""
