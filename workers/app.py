"""The Celery app. Messages are hints: losing all of them, or getting each twice, costs seconds and no call."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init, worker_ready, worker_shutdown

from campaigns.logs import configure_logs
from campaigns.settings import load_settings
from workers.alive import Heart
from workers.queues import DIAL, DIAL_THREADS, MAINTENANCE, PACE, RESULTS


def broker_url(redis_url: str) -> str:
    """kombu's spelling of a Redis URL: `unix://` sockets are `redis+socket://` to it."""
    return (
        "redis+socket://" + redis_url.removeprefix("unix://")
        if redis_url.startswith("unix://")
        else redis_url
    )


def make_app(redis_url: str) -> Celery:
    """The app with the settings that keep a dial from being repeated (docs/reliability.md says why each)."""
    app = Celery("campaigns", broker=broker_url(redis_url), include=["workers.tasks"])
    app.conf.update(
        # Longer than any task runs; nothing is ever scheduled further ahead than seconds.
        broker_transport_options={
            "global_keyprefix": "campaigns:",
            "visibility_timeout": 300,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "max_connections": 512,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            # How long a task tries to reach a broker that is away, before it goes on without: half a second, not six.
            "max_retries": 3,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        worker_pool="threads",
        worker_concurrency=DIAL_THREADS,
        worker_redirect_stdouts=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        beat_scheduler="workers.beat:Scheduler",
        task_default_queue=MAINTENANCE,
        task_routes={
            "campaigns.dial": {"queue": DIAL},
            "campaigns.send_batch": {"queue": DIAL},
            "campaigns.batches": {"queue": RESULTS},
            "campaigns.pace": {"queue": PACE},
            "campaigns.poll": {"queue": RESULTS},
            "campaigns.settle": {"queue": RESULTS},
            "campaigns.reconcile": {"queue": MAINTENANCE},
            "campaigns.jobs": {"queue": MAINTENANCE},
            "campaigns.job_run": {"queue": MAINTENANCE},
            "campaigns.housekeeping": {"queue": MAINTENANCE},
        },
        # Beat only makes sure that nothing ever stops: pacing and polling keep themselves going. A tick that
        # nobody took within its interval is worth nothing, hence `expires`.
        beat_schedule={
            "pace": {"task": "campaigns.pace", "schedule": 1.0, "options": {"expires": 1.0}},
            "poll": {"task": "campaigns.poll", "schedule": 1.0, "options": {"expires": 1.0}},
            "reconcile": {"task": "campaigns.reconcile", "schedule": 1.0, "options": {"expires": 1.0}},
            "batches": {"task": "campaigns.batches", "schedule": 1.0, "options": {"expires": 1.0}},
            "jobs": {"task": "campaigns.jobs", "schedule": 1.0, "options": {"expires": 1.0}},
            "housekeeping": {
                "task": "campaigns.housekeeping",
                "schedule": 60.0,
                "options": {"expires": 60.0},
            },
        },
    )
    return app


app = make_app(load_settings().redis_url)


@setup_logging.connect
def _log(**_: object) -> None:
    configure_logs()


@worker_ready.connect
def _worker_lives(sender: Any = None, **_: object) -> None:
    _live("worker", sorted(sender.app.amqp.queues.consume_from))


@beat_init.connect
def _beat_lives(**_: object) -> None:
    _live("beat", ())


def _live(kind: str, queues: Sequence[str]) -> None:
    client = redis.Redis.from_url(load_settings().redis_url, socket_timeout=5)
    heart = Heart(client, kind, queues)
    heart.start()
    worker_shutdown.connect(lambda **_: heart.stop(), weak=False)


@worker_init.connect
@beat_init.connect
def _leave_with_the_runner(**_: object) -> None:
    """Started by a runner, end with it: where the kernel does not tell us that it is gone, we look."""
    if "CAMPAIGNS_RUNNER" in os.environ:
        threading.Thread(target=_watch_runner, args=(os.getppid(),), name="runner-watch", daemon=True).start()


def _watch_runner(runner: int) -> None:
    while os.getppid() == runner:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    # Dials in hand are finished first; the broker is gone by then, and must not keep us waiting for it.
    time.sleep(30)
    os._exit(1)
