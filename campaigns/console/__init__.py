"""The web side of the runner: the receiver of Retell's webhooks, and a health check."""
