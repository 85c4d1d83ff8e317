"""The webhook receiver over real HTTP: what is let in, what is not, and campaigns with webhooks that misbehave."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from console_world import KEY, Console, served
from services_world import WORKSPACE, World, phone

from campaigns.console import webhook as receiving
from campaigns.console.app import make_app
from campaigns.domain.states import CampaignState
from campaigns.retell.webhooks import SIGNATURE_HEADER, TOLERANCE_MS, sign
from campaigns.services.audit import audit
from campaigns.simulator.deliveries import Deliveries
from campaigns.store import Store
from campaigns.store.schema import attempts, leads, metadata


@pytest.fixture
def world(tmp_path: Path, migrated_sqlite: Path) -> Iterator[World]:
    with World.made(tmp_path, migrated_sqlite, webhook_url="http://receiver.invalid/") as made:
        yield made


@pytest.fixture
def console(world: World) -> Iterator[Console]:
    with served(world) as made:
        yield made


def everything(world: World) -> dict[str, list[Any]]:
    with world.store.database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
        }


def ended(world: World, reason: str = "user_hangup") -> tuple[str, dict[str, dict[str, Any]]]:
    """A placed attempt, and the webhooks of its call by event, not yet posted."""
    world.campaign("spring", 1)
    world.engine.script(phone(1), reason)
    attempt_id = world.claim()
    world.dial(attempt_id)
    world.after(hours=1)
    return attempt_id, {each["event"]: each for each in world.engine.take_events()}


def test_a_signed_webhook_is_taken_in_and_wakes_the_pacer(world: World, console: Console) -> None:
    attempt_id, events = ended(world)
    answers = [console.post(events[event]) for event in ("call_started", "call_ended", "call_analyzed")]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3
    assert world.attempt(attempt_id)["state"] == "settled"
    assert (console.hints.paces, console.hints.settles) == (1, [])
    assert console.health() == (200, {"status": "ok", "webhooks": {"known": 1, "changed": 2}})


def test_a_webhook_that_is_not_whole_asks_the_workers_to_read_the_call(
    world: World, console: Console
) -> None:
    attempt_id, events = ended(world)
    del events["call_analyzed"]["call"]["call_cost"]
    assert console.post(events["call_analyzed"]).status_code == 204
    assert console.hints.settles == [attempt_id]


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (None, "has no X-Retell-Signature header"),
        ("", "has no X-Retell-Signature header"),
        ("v=1,d=xyz", "is not v={unix ms},d={64 hex digits}"),
        (f"v=1780000000000,d={'0' * 64}", "not signed with this API key"),
        ("of another key", "not signed with this API key"),
        ("of another body", "not signed with this API key"),
        ("six minutes old", "a replay, or a wrong clock"),
        ("from the future", "a replay, or a wrong clock"),
    ],
    ids=["none", "empty", "malformed", "zeros", "other key", "other body", "old", "future"],
)
def test_what_is_not_signed_by_us_now_changes_nothing(
    world: World,
    console: Console,
    signature: str | None,
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, events = ended(world)
    body = json.dumps(events["call_analyzed"]).encode()
    now = time.time_ns() // 1_000_000
    late = now - TOLERANCE_MS - 60_000
    forged = {
        "of another key": sign(body, "key_of_somebody"),
        "of another body": sign(body + b" ", KEY),
        "six minutes old": sign(body, KEY, at_ms=late),
        "from the future": sign(body, KEY, at_ms=2 * now - late),
    }
    before = everything(world)
    headers = {} if signature is None else {SIGNATURE_HEADER: forged.get(signature, signature)}
    answer = console.http.post(console.webhook_url, content=body, headers=headers)
    assert answer.status_code == 401
    assert answer.text.startswith("error: ")
    assert why in answer.text
    assert answer.text.count("\n") == 1
    assert everything(world) == before
    assert console.hints.paces == 0
    assert console.health()[1]["webhooks"] == {"refused": 1}
    said = "".join(capsys.readouterr())
    assert "webhook_refused" in said
    assert KEY not in said
    assert phone(1) not in said


def test_a_flood_of_forgeries_does_not_fill_the_log(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        assert console.http.post(console.webhook_url, content=b"{}").status_code == 401
    assert "".join(capsys.readouterr()).count("webhook_refused") == 1
    assert console.health()[1]["webhooks"] == {"refused": 20}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no json", b"[]", b"null", b"7", b'{"event":"call_ended"}', b'{"event":7,"call":{"call_id":"call_1"}}',
        b'{"event":"call_ended","call":{"call_id":""}}', b'{"event":"call_ended","call":[]}', b"\xff\xfe",
        b"[" * 100_000,
        b'{"event":"chat_started","chat":{"chat_id":"c"}}',
    ],
)  # fmt: skip
def test_a_signed_body_that_cannot_be_read_is_not_wanted_again(
    world: World, console: Console, body: bytes
) -> None:
    before = everything(world)
    assert console.post(body).status_code == 204
    assert everything(world) == before
    assert console.health()[1]["webhooks"] == {"ignored": 1}


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_larger_than_any_call_is_refused(
    console: Console, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(receiving, "MOST_BYTES", 1000)
    body = b"x" * 1001
    sent = (part for part in [body[:500], body[500:]]) if chunked else body
    answer = console.http.post(console.webhook_url, content=sent)
    assert (answer.status_code, answer.text) == (413, "error: the body is larger than 1000 bytes\n")
    assert console.post(b"x" * 1000).status_code == 204


def test_a_body_that_does_not_come_is_not_waited_for(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "BODY_SECONDS", 0.2)
    host, _, port = console.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"POST /webhooks/retell HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert b" 408 " in slow.recv(1000)
    with socket.create_connection((host, int(port)), timeout=10) as gone:
        gone.sendall(b"POST /webhooks/retell HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    until(lambda: console.health()[1]["webhooks"] == {"refused": 2})


def test_nothing_else_is_served(console: Console) -> None:
    assert console.http.get(console.webhook_url).status_code == 405
    for path in ("/", "/webhooks", "/docs", "/webhooks/retell/x"):
        assert console.http.get(console.url + path).status_code == 404


def test_a_database_that_fails_asks_for_the_webhook_again(
    world: World, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id, events = ended(world)

    def away() -> Any:
        raise sa.exc.OperationalError("BEGIN IMMEDIATE", {}, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(world.store.database, "read", away)
        answer = console.post(events["call_analyzed"])
        assert (answer.status_code, answer.text) == (503, "error: it could not be kept; send it again\n")
        assert console.health() == (503, {"status": "database", "error": "OperationalError"})
    assert world.attempt(attempt_id)["state"] == "placed"
    assert console.post(events["call_analyzed"]).status_code == 204
    assert world.attempt(attempt_id)["state"] == "settled"
    assert console.health()[1]["webhooks"] == {"failed": 1, "changed": 1}


def test_without_a_key_nothing_is_served(world: World) -> None:
    with pytest.raises(ValueError, match="API key"):
        make_app(world.context, "", Console("", None, None).hints)  # type: ignore[arg-type]


# -- whole campaigns

FAULTS = "webhook_drop=20%,webhook_duplicate=40%,webhook_reorder=30%"
LEADS = range(1, 17)
COLUMNS = (attempts.c.state, attempts.c.outcome, attempts.c.charged, attempts.c.disconnection_reason,
           attempts.c.duration_ms, attempts.c.cost_cents, attempts.c.transcript)  # fmt: skip


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def books(world: World) -> dict[str, list[Any]]:
    """By number: the lead, then each attempt with all that its call came to."""
    found: dict[str, list[Any]] = {}
    query = sa.select(leads.c.phone, leads.c.state, leads.c.attempts, leads.c.outcome, *COLUMNS)
    query = query.join(attempts, attempts.c.lead_id == leads.c.id).order_by(attempts.c.claimed_at)
    with world.store.database.read() as connection:
        for row in connection.execute(query):
            found.setdefault(row[0], []).append(tuple(row[1:]))
    return found


def campaign(
    store: Store, webhooks: str | None
) -> tuple[dict[str, list[Any]], dict[str, int], dict[str, int]]:
    """Sixteen leads with retries, webhooks with these faults, None for none: (books, requests, webhooks)."""
    world = World(
        store, outcomes="", concurrency=10, analysis_delay=(2.0, 6.0), seed=3, api_key=KEY, faults=webhooks or "",
        webhook_backoff=(0.05, 0.05),
    )  # fmt: skip
    with served(world) as console:
        world.engine.configure({"webhook_url": console.webhook_url if webhooks is not None else None})
        deliveries = Deliveries(world.wire.api)
        made = world.campaign(
            "spring", *LEADS, retry="no_answer:10m;busy:10m;machine:20m", profile="none", windows=()
        )
        for _ in range(400):
            if not world.store.campaigns.listed(WORKSPACE, (CampaignState.RUNNING,)):
                break
            world.dial_all()
            world.after(seconds=20)
            deliveries.collect()
            while deliveries.waiting:  # late ones by hand, so that nobody waits for them
                deliveries.send(deliveries.waiting.pop(-1 if len(deliveries.waiting) % 3 else 0))
            world.poll_and_settle()
        assert world.store.campaigns.listed(WORKSPACE, (CampaignState.COMPLETED,))
        checks = audit(world.store, world.context.retell, world.campaign_now(made)).checks
        # The leads of this world come from no file.
        assert {check.claim for check in checks if not check.holds} <= {"every row is in one account"}
        outcome = books(world), world.requests, dict(world.engine.ledger.webhooks)
        deliveries.stop()
        world.context.retell.close()
    return outcome


def test_with_webhooks_that_misbehave_the_books_are_those_without_any(
    make_store: Callable[[], Store],
) -> None:
    polled, alone, none = campaign(make_store(), None)
    told, fewer, faulty = campaign(make_store(), FAULTS)
    assert len(polled) == len(LEADS)
    assert told == polled
    assert none == {}
    assert min(faulty["dropped"], faulty["duplicated"], faulty["reordered"]) > 3
    assert faulty["delivered"] == faulty["sent"]
    # An answered call need not be read where its analysis came with a webhook.
    assert fewer.get("get-call", 0) < alone["get-call"] / 2
    assert sum(fewer.values()) < sum(alone.values())


@pytest.fixture
def make_store(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Each call opens a store of its own, on the backend of this test."""
    opened: list[Store] = []

    def make() -> Store:
        url = f"sqlite:///{tmp_path / f'{len(opened)}.db'}"
        if backend == "postgresql":
            url = request.getfixturevalue("make_database")()
        opened.append(Store.open(url))
        return opened[-1]

    yield make
    for store in opened:
        store.close()
