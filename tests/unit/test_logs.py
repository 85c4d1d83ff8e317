"""Logs: nobody can be rung from them."""

from __future__ import annotations

import errno
import io
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from campaigns.logs import configure_logs, mask

NUMBER = "+14155550123"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What `configure_logs` sends to standard error; logging is as before afterwards."""
    root, celery = logging.getLogger(), logging.getLogger("celery")
    before = (root.handlers[:], root.level, celery.level)
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    # pytest's own handlers must survive `force`, which closes what it removes.
    root.handlers = []
    configure_logs()
    yield stream
    structlog.reset_defaults()
    root.handlers, celery.level = before[0], before[2]
    root.setLevel(before[1])


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        self.write("")


def test_a_full_disk_stops_no_one_who_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    monkeypatch.setattr("sys.stderr", FullDisk())
    root.handlers = []
    try:
        configure_logs()
        structlog.get_logger().warning("dial_unknown")
        logging.getLogger("celery").error("broken")
    finally:
        structlog.reset_defaults()
        root.handlers = before


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NUMBER, "+*********23"),
        ("to +442079460100, from +14155550100.", "to +**********00, from +*********00."),
        (f"{NUMBER}{NUMBER}", "+*********23+*********23"),
        ("call_0123456789abcdef at 2026-12-01T15:00:00+00:00", None),
        ("UTC+1, x+12345 y", None),
        ("", None),
    ],
)
def test_numbers_are_masked_and_nothing_else(text: str, shown: str | None) -> None:
    assert mask(text) == (text if shown is None else shown)


@given(
    st.text(max_size=20), st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True), st.sampled_from(" .,'\")\n")
)
def test_no_number_passes_whatever_stands_around_it(before: str, number: str, after: str) -> None:
    shown = mask(f"{before} {number}{after}")
    assert number not in shown
    assert number[-2:] in shown


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)


def test_events_and_their_values_are_masked(logged: io.StringIO) -> None:
    structlog.get_logger("ours").warning("dialing", phone=NUMBER, count=3, why=f"refused for {NUMBER}")
    line = logged.getvalue()
    assert NUMBER not in line
    for part in ("level='warning'", "event='dialing'", "+*********23", "count=3"):
        assert part in line
    assert line.count("\n") == 1


def test_tracebacks_are_masked(logged: io.StringIO) -> None:
    try:
        raise ValueError(f"no such number: {NUMBER}")
    except ValueError:
        structlog.get_logger("ours").exception("failed")
        logging.getLogger("theirs").exception("failed for %s", NUMBER)
    text = logged.getvalue()
    assert text.count("ValueError: no such number: +*********23") == 2
    assert NUMBER not in text


def test_nested_values_are_masked(logged: io.StringIO) -> None:
    structlog.get_logger("ours").warning(
        "x", phones=[NUMBER], lead={"phone": NUMBER}, error=ValueError(NUMBER)
    )
    assert NUMBER not in logged.getvalue()


def test_libraries_say_warnings_only(logged: io.StringIO) -> None:
    for name in ("httpx", "celery", "celery.app.trace"):
        logging.getLogger(name).info("GET https://example.invalid")
        logging.getLogger(name).warning("%s trouble with %s", name, NUMBER)
    text = logged.getvalue()
    assert "GET" not in text
    assert text.count("trouble with +*********23") == 3


def test_our_debug_events_stay_out(logged: io.StringIO) -> None:
    structlog.get_logger("ours").debug("noise")
    assert logged.getvalue() == ""
