"""Loaded by every Python process that has this folder on its path: its clock can be set from outside.

FAULTS_CLOCK names a file that holds by how many seconds the machine's clock is wrong. time-machine replaces what reads
the wall clock in this process, in C: `time.time`, `datetime.now` and the rest, for our code and for Celery's. What no
clock can set stays as it is: monotonic time, sleeps, time-outs.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
import time
from pathlib import Path

import time_machine


def _follow(file: Path) -> None:
    wrong_by = 0.0
    travel: time_machine.travel | None = None
    pause = threading.Event()
    while not pause.wait(0.05):
        with contextlib.suppress(OSError, ValueError):
            wanted = float(file.read_text())
            if wanted == wrong_by:
                continue
            if travel is not None:
                travel.stop()
            wrong_by, travel = wanted, None
            if wrong_by:
                now = datetime.datetime.fromtimestamp(time.time() + wrong_by, datetime.UTC)
                travel = time_machine.travel(now, tick=True)
                travel.start()


if "FAULTS_CLOCK" in os.environ:
    threading.Thread(
        target=_follow, args=(Path(os.environ["FAULTS_CLOCK"]),), name="clock", daemon=True
    ).start()
