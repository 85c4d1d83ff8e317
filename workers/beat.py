"""The app as beat needs it: names and times, without the tasks and all that they import."""

from __future__ import annotations

from workers.app import app

app.conf.include = []
