"""Logs for people who debug: one line per event, phone numbers masked, never a key."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from typing import Any, TextIO

import structlog

_PHONE = re.compile(r"\+\d{4,13}(\d{2})(?!\d)")


def mask(text: str) -> str:
    """`+14155550123` -> `+*********23`: enough to tell two apart, too little to ring."""
    return _PHONE.sub(lambda found: "+" + "*" * (len(found[0]) - 3) + found[1], text)


def _mask_line(_: Any, __: str, line: Any) -> Any:
    return mask(line)


class _MaskedFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class Unfailing:
    """A log's stream that never raises: a full disk must not stop what is being told about."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


_level = logging.INFO


def configure_logs(level: int | None = None) -> None:
    """Send our events from `level` up, and the libraries' warnings, to standard error. None: the level set before."""
    global _level
    _level = _level if level is None else level
    stream: Any = Unfailing(sys.stderr)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # httpx tells every URL, celery every task, at INFO.
    logging.getLogger("celery").setLevel(logging.WARNING)
    logging.getLogger("campaigns").setLevel(_level)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
            _mask_line,  # the whole line: a number may stand deep inside a value
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
