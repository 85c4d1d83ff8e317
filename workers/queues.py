"""Which process takes which queue, and with how many threads."""

from __future__ import annotations

DIAL, PACE, RESULTS, MAINTENANCE = "dial", "pace", "results", "maintenance"
#: Queues of the process that dials, and of the one that decides; apart, so that slow dials never delay a decision.
DIAL_QUEUES, CONTROL_QUEUES = (DIAL,), (PACE, RESULTS, MAINTENANCE)
#: Threads of a dialing process: beyond it they mostly wait for one another; more processes, not more threads.
DIAL_THREADS, CONTROL_THREADS = 32, 8
