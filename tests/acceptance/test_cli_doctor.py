"""`campaigns doctor`: each thing that can be wrong is found, with a remedy, and the exit code tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import TypeAdapter

from campaigns.cli.documents.table import DOCUMENTS
from campaigns.store import Store
from tests.acceptance.conftest import KEY, Cli, Retell
from tests.faults.rig import free_port
from tests.recording import Recorder, Sent
from workers.alive import Heart
from workers.embedded import Stack
from workers.queues import CONTROL_QUEUES, DIAL_QUEUES

CHECKS = [
    "database", "message server", "workers and beat", "clock", "time data", "calling rules", "disk", "API key",
    "Retell", "clock skew",
    "concurrency", "numbers", "agents", "webhooks",
]  # fmt: skip
NUMBER = "+14155550100"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.retell.client.RetellClient._pause", lambda *_: 0.0)


def results(cli: Cli) -> dict[str, dict[str, str]]:
    """Every check by name; the exit code must be what the results say."""
    said = cli("doctor", "--json")
    TypeAdapter(DOCUMENTS["doctor"]).validate_python(said.document, strict=True)
    rows = {row["check"]: row for row in said.document}
    assert list(rows) == CHECKS
    seen = {row["result"] for row in rows.values()}
    assert said.code == (1 if "failure" in seen else 3 if "warning" in seen else 0)
    for row in rows.values():
        assert bool(row["remedy"]) == (row["result"] != "ok"), row
    assert cli("doctor").code == said.code
    return rows


def found(cli: Cli, check: str, result: str) -> str:
    """What a check says, which must have come to `result`."""
    row = results(cli)[check]
    assert row["result"] == result, row
    return f"{row['detail']}; {row['remedy']}"


class Account:
    """A Retell that says what the test wants of it."""

    def __init__(self, api: Recorder) -> None:
        self.concurrency: dict[str, Any] = {"current_concurrency": 0, "concurrency_limit": 20}
        self.numbers: list[dict[str, Any]] = [
            {"phone_number": NUMBER, "outbound_agents": [{"agent_id": "agent_a", "weight": 1}]}
        ]
        self.agents: dict[str, dict[str, Any]] = {"agent_a": {"is_published": True}}
        self.status = 200
        self.ahead = timedelta()
        api.answer = self.answer

    def answer(self, sent: Sent) -> Any:
        headers = {"date": format_datetime(datetime.now(UTC) + self.ahead, usegmt=True)}
        if self.status != 200:
            return self.status, {"message": "no"}, headers
        if sent.path == "/get-concurrency":
            return 200, self.concurrency, headers
        if sent.path == "/v2/list-phone-numbers":
            return 200, {"items": self.numbers, "has_more": False}
        agent = sent.path.removeprefix("/get-agent/")
        if agent in self.agents:
            return 200, {"agent_id": agent, "version": 3, **self.agents[agent]}
        return 422, {"message": "Cannot find requested asset under given api key."}


@pytest.fixture
def account(api: Recorder, monkeypatch: pytest.MonkeyPatch) -> Account:
    # The test server writes its own Date before the one of the answer.
    monkeypatch.setattr("http.server.BaseHTTPRequestHandler.send_response", _without_date)
    return Account(api)


def _without_date(handler: Any, code: int, message: str | None = None) -> None:
    handler.send_response_only(code, message)


def test_nothing_is_wrong(cli: Cli, retell: Retell) -> None:
    retell.start()
    rows = results(cli)
    assert {row["result"] for row in rows.values()} == {"ok"}, rows
    assert "0 of 20 lines" in rows["concurrency"]["detail"]
    assert "schema 0" in rows["database"]["detail"]
    assert KEY not in str(rows)


def test_only_what_was_asked_for(cli: Cli, account: Account, api: Recorder) -> None:
    rows = cli.ok("doctor", "--only", "disk", "--only", "database")
    assert [row["check"] for row in rows] == ["database", "disk"]
    assert api.sent == []
    assert "use one of database" in cli.refused("doctor", "--only", "luck", code=2)


# -- the installation


def test_a_database_of_a_newer_version(cli: Cli, account: Account) -> None:
    store = Store.open(f"sqlite:///{cli.home / 'campaigns.db'}")
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "newer" in found(cli, "database", "failure")


def test_a_disk_that_is_nearly_full(cli: Cli, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.cli.doctor._LEAST_DISK", 1 << 80)
    assert "MiB free" in found(cli, "disk", "failure")


def test_a_message_server_that_is_away(cli: Cli, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMPAIGNS_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    rows = results(cli)
    assert rows["message server"]["result"] == rows["workers and beat"]["result"] == "failure"


def test_workers_and_beat(cli: Cli, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    with Stack(cli.folder / "r") as stack:
        url = stack.valkey()
        monkeypatch.setenv("CAMPAIGNS_REDIS_URL", url)
        client = redis.Redis.from_url(url)
        hearts = {
            "nobody dials": Heart(client, "worker", DIAL_QUEUES),
            "nobody paces": Heart(client, "worker:2", CONTROL_QUEUES),
            "no tick": Heart(client, "beat"),
        }
        text = found(cli, "workers and beat", "warning")
        assert all(missing in text for missing in hearts)
        cli.draft("spring")
        cli.ok("launch", "spring")
        assert "0 workers" in found(cli, "workers and beat", "failure")
        for heart in hearts.values():
            heart.beat()
        client.lpush("campaigns:dial", "message", "message")
        text = found(cli, "workers and beat", "ok")
        assert "dial 2, pace 0" in text
        for missing, heart in hearts.items():
            heart.stop()
            assert missing in found(cli, "workers and beat", "failure")
            heart.beat()
        client.close()


def test_a_runner_at_work_in_this_home(cli: Cli, account: Account) -> None:
    with Stack(cli.home) as stack:
        stack.valkey()
        rows = results(cli)
    assert "at work" in rows["message server"]["detail"]
    assert rows["workers and beat"]["result"] == "warning"


# -- the account


def test_without_a_key(cli: Cli) -> None:
    rows = results(cli)
    assert "RETELL_API_KEY" in rows["API key"]["remedy"]
    assert [name for name, row in rows.items() if row["result"] == "failure"] == ["API key"]
    unseen = [name for name, row in rows.items() if row["detail"].startswith("not looked at")]
    assert unseen == ["Retell", "clock skew", "concurrency", "numbers", "agents", "webhooks"]


def test_a_key_that_is_refused(cli: Cli, account: Account, api: Recorder) -> None:
    account.status = 401
    assert "refuses" in found(cli, "API key", "failure")
    assert {sent.path for sent in api.sent} == {"/get-concurrency"}


@pytest.mark.parametrize(("status", "words"), [(402, "payment"), (500, "wait"), (302, "RETELL_BASE_URL")])
def test_an_account_that_cannot_be_used(cli: Cli, account: Account, status: int, words: str) -> None:
    account.status = status
    assert words in found(cli, "Retell", "failure")
    assert found(cli, "agents", "warning").startswith("not looked at")


def test_an_api_that_is_away_is_asked_once(cli: Cli, api: Recorder) -> None:
    api.answer = lambda sent: None
    assert "RETELL_BASE_URL" in found(cli, "Retell", "failure")
    assert len(api.sent) == 2  # for `--json`, and for people


@pytest.mark.parametrize(
    ("ahead", "result", "words"),
    [(0, "ok", "to a second"), (-20, "warning", "20 s ahead of"), (20, "warning", "20 s behind"),
     (-300, "failure", "NTP"), (3600, "failure", "before anybody is called")],
)  # fmt: skip
def test_clock_skew(cli: Cli, account: Account, ahead: int, result: str, words: str) -> None:
    account.ahead = timedelta(seconds=ahead)
    assert words in found(cli, "clock skew", result)


def test_an_answer_without_a_date(cli: Cli, api: Recorder, account: Account) -> None:
    api.answer = lambda sent: account.answer(sent)[:2]
    assert "no Date" in found(cli, "clock skew", "warning")


@pytest.mark.parametrize(
    ("concurrency", "result", "words"),
    [
        ({"current_concurrency": 20, "concurrency_limit": 20}, "warning", "20 by others"),
        ({"concurrency_limit": 5, "reserved_inbound_concurrency": 5}, "failure", "inbound reserve"),
        ({}, "failure", "does not tell"),
    ],
)
def test_lines(cli: Cli, account: Account, concurrency: dict[str, int], result: str, words: str) -> None:
    account.concurrency = concurrency
    assert words in found(cli, "concurrency", result)


def test_numbers_of_campaigns(cli: Cli, account: Account) -> None:
    cli.ok("create", "spring", "--from", NUMBER)
    cli.ok("create", "old", "--from", "+14155550199")
    assert "+14155550199 of old is not a number of the account" in found(cli, "numbers", "failure")
    cli.ok("cancel", "old")
    assert "1 in campaigns" in found(cli, "numbers", "ok")
    account.numbers = [{"phone_number": NUMBER}]
    text = found(cli, "numbers", "failure")
    assert f"`campaigns numbers bind {NUMBER}" in text
    cli.ok("create", "fall", "--from", NUMBER, "--agent", "agent_a")
    assert "fall" not in found(cli, "numbers", "failure")
    account.numbers = []
    assert "numbers buy" in found(cli, "numbers", "warning")


@pytest.mark.parametrize(
    ("agent", "result", "words"),
    [
        ({"is_published": False}, "warning", "`campaigns agents publish agent_a`"),
        ({"is_suspended": True}, "failure", "suspended"),
        ({}, "ok", "speaking: 1"),
        (None, "failure", "there is no agent agent_a"),
    ],
)
def test_agents_that_will_speak(
    cli: Cli, account: Account, agent: dict[str, bool] | None, result: str, words: str
) -> None:
    account.agents = {} if agent is None else {"agent_a": agent}
    assert words in found(cli, "agents", result)


def test_an_agent_that_only_a_campaign_names(cli: Cli, account: Account) -> None:
    cli.ok("create", "spring", "--from", NUMBER, "--agent", "agent_x")
    assert "agent_x" in found(cli, "agents", "failure")


@pytest.mark.parametrize(
    ("status", "result"), [(405, "ok"), (204, "ok"), (404, "warning"), (502, "warning"), (None, "warning")]
)
def test_webhooks_that_agents_send(
    cli: Cli, account: Account, api: Recorder, status: int | None, result: str
) -> None:
    assert "polled" in found(cli, "webhooks", "ok")
    account.agents["agent_a"]["webhook_url"] = f"{api.url}/webhooks/retell"
    inner = account.answer

    def answer(sent: Sent) -> Any:
        if sent.path != "/webhooks/retell":
            return inner(sent)
        assert "authorization" not in sent.headers
        return None if status is None else (status, None)

    api.answer = answer
    assert "/webhooks/retell" in found(cli, "webhooks", result)
