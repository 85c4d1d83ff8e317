"""What the runner does, as functions over the store, the Retell client and a clock. No Celery in here."""
