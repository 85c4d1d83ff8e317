"""Celery: the app, thin tasks, the beat schedule, and the embedded stack that `campaigns run` starts."""
