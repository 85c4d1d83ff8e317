"""`campaigns numbers` and `campaigns agents`: the bodies they send, what they look at before, and every refusal."""

from __future__ import annotations

import io
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from campaigns.store import Store
from tests.acceptance.conftest import Cli, Retell
from tests.recording import Recorder, Sent

NUMBER = "+14155550100"
AGENTS = {f"/get-agent/agent_{name}": {"agent_id": f"agent_{name}", "version": 4} for name in "abc"}
MADE = {
    "phone_number": NUMBER,
    "phone_number_type": "retell-twilio",
    "nickname": "desk",
    "outbound_agents": [{"agent_id": "agent_a", "weight": 1}],
}
#: Of a number that no campaign dials with.
UNUSED = {
    "owned": True, "used_24h": 0, "cap": None, "calls_per_second": None, "resting_until": None, "rest_reason": None,
}  # fmt: skip
LINE = {"number": NUMBER, "type": "retell-twilio", "nickname": "desk", "outbound_agents": ["agent_a"]}


@pytest.fixture
def account(api: Recorder) -> Recorder:
    """Three agents, one number; whatever changes a number answers it."""
    known: dict[str, Any] = {**AGENTS, f"/get-phone-number/%2B{NUMBER[1:]}": MADE}

    def answer(sent: Sent) -> Any:
        if sent.method == "DELETE" or sent.path.startswith("/publish"):
            return 204, None
        if sent.method == "GET":
            if sent.path == "/v2/list-phone-numbers":
                return 200, {"items": [MADE], "has_more": False}
            if sent.path not in known:
                return 422, {"status": "error", "message": "Cannot find requested asset under given api key."}
            return 200, known[sent.path]
        return 201, MADE

    api.answer = answer
    return api


def changes(api: Recorder) -> list[tuple[str, str, Any]]:
    """What was sent to change something."""
    return [(sent.method, sent.path, sent.json) for sent in api.sent if sent.method != "GET"]


# -- numbers


def test_listed_and_shown(cli: Cli, account: Recorder) -> None:
    assert cli.ok("numbers", "list") == [{**LINE, **UNUSED}] == cli.ok("numbers")
    cli.ok("create", "spring", "--from", NUMBER)
    cli.ok("create", "fall", "--from", "+14155550101")
    shown = cli.ok("numbers", "show", NUMBER)
    assert shown == {**LINE, "allowed_outbound_countries": [], "campaigns": ["spring"]}
    assert "spring" in cli("numbers", "show", NUMBER).out


def test_use_cap_and_rest_of_the_numbers_that_campaigns_dial_with(cli: Cli, account: Recorder) -> None:
    other = "+14155550101"
    cli.ok("create", "spring", "--from", NUMBER, "--from", other, "--number-cap", "80", "--cps", "9")
    cli.ok("create", "fall", "--from", NUMBER, "--number-cap", "120")
    with (
        closing(Store.open(f"sqlite:///{cli.home / 'campaigns.db'}")) as store,
        store.database.write() as connection,
    ):
        connection.execute(
            sa.text(
                "INSERT INTO from_numbers (workspace, number, resting_until, rest_reason)"
                f" VALUES ('retell', '{NUMBER}', 4102444800000, 'marked_as_spam')"
            )
        )
    ours, gone = cli.ok("numbers")
    assert ours == {
        **LINE, "owned": True, "used_24h": 0, "cap": 80, "calls_per_second": 5.0,
        "resting_until": "2100-01-01T00:00:00Z", "rest_reason": "marked_as_spam",
    }  # fmt: skip
    assert (gone["number"], gone["owned"], gone["cap"]) == (other, False, 80)
    said = cli("numbers").out
    assert "marked_as_spam" in said
    assert other in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--agent", "a=0"), "no weight"),
        (("--agent", "a", "--agent", "a=2"), "twice"),
        (("--number-cap", "0"), "above 0"),
        (("--number-cap", "-1"), "above 0"),
        (("--number-rest", "soon"), "not a delay"),
        (("--from", "4155550100"), "E.164"),
        (("--from", NUMBER, "--from", NUMBER), "twice"),
    ],
)
def test_pools_and_agents_that_make_no_sense(cli: Cli, options: tuple[str, ...], words: str) -> None:
    assert words in cli.refused("create", "spring", *options, code=2)


def test_bought_with_its_agent(cli: Cli, account: Recorder) -> None:
    bought = cli.ok(
        "numbers", "buy", "--area-code", "415", "--outbound-agent", "agent_a", "--nickname", "desk", "--yes"
    )
    assert bought == LINE
    body = {"area_code": 415, "nickname": "desk", "outbound_agents": [{"agent_id": "agent_a", "weight": 1}]}
    assert changes(account) == [("POST", "/create-phone-number", body)]
    account.sent.clear()
    cli.ok(
        "numbers",
        "buy",
        "--number",
        NUMBER,
        "--country",
        "gb",
        "--toll-free",
        "--provider",
        "telnyx",
        "--yes",
    )
    body = {"phone_number": NUMBER, "country_code": "GB", "toll_free": True, "number_provider": "telnyx"}
    assert changes(account) == [("POST", "/create-phone-number", body)]


def test_an_agent_that_is_not_there_costs_nothing(cli: Cli, account: Recorder) -> None:
    for command in (
        ("buy", "--area-code", "415", "--yes"),
        ("bind", NUMBER),
        ("import", NUMBER, "--termination-uri", "x.pstn.twilio.com"),
    ):
        assert "422" in cli.refused("numbers", *command, "--outbound-agent", "agent_x")
    assert changes(account) == []


def test_a_purchase_is_asked_for_and_sent_once(cli: Cli, account: Recorder) -> None:
    line = cli.refused("numbers", "buy", "--area-code", "415", code=2)
    assert "area code 415" in line
    assert "--yes" in line
    account.answer = lambda sent: None
    assert "look before" in cli.refused("numbers", "buy", "--area-code", "415", "--yes")
    assert len(changes(account)) == 1


def test_a_purchase_whose_answer_cannot_be_read(cli: Cli, account: Recorder) -> None:
    account.answer = lambda sent: (201, {})
    line = cli.refused("numbers", "buy", "--area-code", "415", "--yes")
    assert "is bought" in line
    assert "`campaigns numbers`" in line


def test_imported_with_a_password_that_no_command_line_shows(
    cli: Cli, account: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.folder / "password").write_text("secret\n")
    trunk = ("--termination-uri", "x.pstn.twilio.com", "--sip-username", "u")
    cli.ok("numbers", "import", NUMBER, *trunk, "--sip-password-file", "password")
    monkeypatch.setattr("sys.stdin", io.StringIO("secret"))
    cli.ok("numbers", "import", NUMBER, *trunk, "--sip-password-file", "-")
    body = {
        "phone_number": NUMBER, "termination_uri": "x.pstn.twilio.com", "sip_trunk_auth_username": "u",
        "sip_trunk_auth_password": "secret", "ignore_e164_validation": False,
    }  # fmt: skip
    assert changes(account) == [("POST", "/import-phone-number", body)] * 2


def test_bound_to_several_agents_evenly(cli: Cli, account: Recorder) -> None:
    agents = [word for name in "abc" for word in ("--outbound-agent", f"agent_{name}")]
    cli.ok("numbers", "bind", NUMBER, *agents)
    cli.ok("numbers", "bind", NUMBER, "--nobody")
    [(_, path, body), (_, _, nobody)] = changes(account)
    assert path == f"/update-phone-number/%2B{NUMBER[1:]}"
    weights = [agent["weight"] for agent in body["outbound_agents"]]
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert max(weights) - min(weights) < 0.001
    assert nobody == {"outbound_agents": []}


def test_renamed(cli: Cli, account: Recorder) -> None:
    cli.ok("numbers", "rename", NUMBER, "front desk")
    assert changes(account) == [
        ("PATCH", f"/update-phone-number/%2B{NUMBER[1:]}", {"nickname": "front desk"})
    ]


def test_released_only_when_no_campaign_dials_with_it(cli: Cli, account: Recorder) -> None:
    cli.ok("create", "spring", "--from", NUMBER)
    assert "spring" in cli.refused("numbers", "release", NUMBER, "--yes")
    cli.ok("cancel", "spring")
    assert "--yes" in cli.refused("numbers", "release", NUMBER, code=2)
    assert changes(account) == []
    released = cli.ok("numbers", "release", NUMBER, "--yes")
    assert released == {"number": NUMBER, "released": True}
    assert changes(account) == [("DELETE", f"/delete-phone-number/%2B{NUMBER[1:]}", None)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("show", "4155550100"),
        ("show", "+1415x550100"),
        ("release", "x", "--yes"),
        ("rename", NUMBER),
        ("rename", "1", "x"),
        ("bind", NUMBER),
        ("bind", NUMBER, "--nobody", "--outbound-agent", "agent_a"),
        ("bind", "1", "--nobody"),
        ("buy", "--area-code", "41", "--yes"),
        ("buy", "--area-code", "SF", "--yes"),
        ("buy", "--country", "Narnia", "--yes"),
        ("buy", "--number", "415", "--yes"),
        ("buy", "--provider", "acme", "--yes"),
        ("import", NUMBER),
        ("import", "415", "--termination-uri", "x"),
        ("import", NUMBER, "--termination-uri", "x", "--sip-password-file", "nowhere"),
        ("sell",),
    ],
    ids=" ".join,
)
def test_usage_that_cannot_be_sent(cli: Cli, account: Recorder, arguments: tuple[str, ...]) -> None:
    cli.refused("numbers", *arguments, code=2)
    assert account.sent == []


@pytest.mark.parametrize(
    "arguments",
    [("numbers", "show", "+14155550199"), ("numbers", "release", "+14155550199", "--yes"), ("agents", "show", "x"),
     ("agents", "publish", "x")],
    ids=" ".join,
)  # fmt: skip
def test_what_the_account_does_not_have(cli: Cli, account: Recorder, arguments: tuple[str, ...]) -> None:
    line = cli.refused(*arguments)
    assert "422" in line
    assert "exists in this workspace" in line


@pytest.mark.parametrize("status", [401, 402, 429, 500])
def test_an_account_that_cannot_be_used(cli: Cli, api: Recorder, status: int) -> None:
    api.answer = lambda sent: (status, {"status": "error", "message": "no"})
    for command in (
        ("numbers", "show", NUMBER), ("numbers", "buy", "--yes"), ("numbers", "rename", NUMBER, "x"),
        ("agents", "show", "agent_a"), ("agents", "publish", "agent_a"), ("web-call", "agent_a"),
    ):  # fmt: skip
        assert f"Retell answered {status}: no" in cli.refused(*command)


# -- agents


def test_agents_against_the_simulator(cli: Cli, retell: Retell) -> None:
    account = retell.start().engine.account
    rows = cli.ok("agents", "list")
    assert [row["agent"] for row in rows] == list(account.agents)
    shown = cli.ok("agents", "show", "agent_simulator_sales")
    assert (shown["published"], shown["version"], shown["ring_seconds"]) == (True, 3, 30.0)
    assert shown["numbers"] == ["+14155550100", "+12125550101"]
    assert "agent_simulator_sales" in cli("agents", "show", "agent_simulator_sales").out
    published = cli.ok("agents", "publish", "agent_simulator_sales")
    assert published == {"agent": "agent_simulator_sales", "version": 3, "published": True}


def test_a_draft_is_published(cli: Cli, account: Recorder) -> None:
    assert cli.ok("agents", "publish", "agent_a") == {"agent": "agent_a", "version": 4, "published": True}
    assert cli.ok("agents", "publish", "agent_a", "--version", "2")["version"] == 2
    path = "/publish-agent-version/agent_a"
    assert changes(account) == [("POST", path, {"version": 4}), ("POST", path, {"version": 2})]
    cli.refused("agents", "publish", "agent_a", "--version", "-1", code=2)
    account.answer = lambda sent: (200, {"agent_id": "agent_a"})
    assert "--version" in cli.refused("agents", "publish", "agent_a")


def test_a_web_call(cli: Cli, api: Recorder) -> None:
    token = {"access_token": "tok", "call_id": "call_1", "expires_at": 1735718400000, "transport": "gateway"}
    api.answer = lambda sent: (201, {**token, "ice_servers": []})
    made = cli.ok("web-call", "agent_a", "--var", "first_name=Ann", "--version", "3")
    assert made == {
        "agent": "agent_a", "call_id": "call_1", "access_token": "tok", "expires_at": "2025-01-01T08:00:00Z",
    }  # fmt: skip
    body = {"agent_id": "agent_a", "agent_version": 3, "retell_llm_dynamic_variables": {"first_name": "Ann"}}
    assert changes(api) == [("POST", "/v3/create-web-call", body)]
    said = cli("web-call", "agent_a", "--version", "latest")
    assert said.out.splitlines()[0] == "tok"
    assert api.sent[-1].json == {"agent_id": "agent_a", "agent_version": "latest"}
    cli.refused("web-call", code=2)
    cli.refused("web-call", "agent_a", "--var", "Ann", code=2)
    api.answer = lambda sent: (201, {"call_id": "call_1"})
    assert "no access token" in cli.refused("web-call", "agent_a")
