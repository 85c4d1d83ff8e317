"""A Celery app with the runner's settings and a task that does nothing: what a message costs by itself."""

from __future__ import annotations

from campaigns.settings import load_settings
from workers.app import make_app

QUEUE = "noop"

app = make_app(load_settings().redis_url)
app.conf.include = []


@app.task(name="bench.noop")  # type: ignore[untyped-decorator]
def noop(attempt_id: str) -> None:
    """Nothing: the message is taken, acknowledged and forgotten."""
