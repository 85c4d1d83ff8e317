"""The environment: what is read, what is refused, and that no key is shown."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from campaigns.domain.clock import ScaledClock, SystemClock
from campaigns.domain.errors import UsageError
from campaigns.settings import REAL_API, RETELL, Settings, load_settings

CLOCK = "2026-03-08T13:30:00Z,60,1795174234.6"


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("CAMPAIGNS_", "RETELL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.api_key.get_secret_value() == ""
    assert (settings.base_url, settings.workspace) == (REAL_API, RETELL)
    assert settings.home == Path(".campaigns")
    assert (settings.redis_url, settings.poll_interval) == ("", None)
    assert settings.store_url() == f"sqlite:///{tmp_path.resolve() / '.campaigns' / 'campaigns.db'}"
    assert isinstance(settings.clock(), SystemClock)
    assert settings.real_api
    assert not settings.stand_in


def test_everything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "RETELL_API_KEY": "key_1", "RETELL_BASE_URL": "http://127.0.0.1:8123/", "CAMPAIGNS_HOME": "h",
        "CAMPAIGNS_DATABASE_URL": "postgresql://u@h/d", "CAMPAIGNS_REDIS_URL": "redis://h:1/0",
        "CAMPAIGNS_DIAL_TIMEOUT": "2.5", "CAMPAIGNS_POLL_INTERVAL": "0.5", "CAMPAIGNS_CLOCK": CLOCK,
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.api_key.get_secret_value() == "key_1"
    assert settings.base_url == "http://127.0.0.1:8123"
    assert settings.store_url() == "postgresql://u@h/d"
    assert (settings.dial_timeout, settings.poll_interval) == (2.5, 0.5)
    assert settings.stand_in
    clock = settings.clock()
    assert isinstance(clock, ScaledClock)
    assert (clock.start, clock.speed) == (datetime(2026, 3, 8, 13, 30, tzinfo=UTC), 60)


def test_empty_variables_are_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETELL_BASE_URL", "CAMPAIGNS_POLL_INTERVAL", "CAMPAIGNS_HOME", "CAMPAIGNS_CLOCK"):
        monkeypatch.setenv(name, "")
    assert load_settings() == Settings()
    assert load_settings().base_url == REAL_API


def test_a_dotenv_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("RETELL_API_KEY=key_file\nCAMPAIGNS_DIAL_TIMEOUT=3\nSOMETHING=else\n")
    assert load_settings().api_key.get_secret_value() == "key_file"
    monkeypatch.setenv("RETELL_API_KEY", "key_environment")
    settings = load_settings()
    assert (settings.api_key.get_secret_value(), settings.dial_timeout) == ("key_environment", 3.0)


def test_the_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETELL_API_KEY", "key_secret_1")
    assert "key_secret_1" not in f"{load_settings()!r} {load_settings()}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETELL_BASE_URL", "api.retellai.com"),
        ("RETELL_BASE_URL", "ftp://api.retellai.com"),
        ("RETELL_BASE_URL", "https://"),
        ("RETELL_BASE_URL", "http://localhost:99999"),
        ("RETELL_BASE_URL", "http://localhost:0"),
        ("CAMPAIGNS_REDIS_URL", "localhost:6379"),
        ("CAMPAIGNS_REDIS_URL", "http://localhost"),
        ("CAMPAIGNS_REDIS_URL", "redis://localhost:70000"),
        ("CAMPAIGNS_DIAL_TIMEOUT", "0"),
        ("CAMPAIGNS_DIAL_TIMEOUT", "61"),
        ("CAMPAIGNS_DIAL_TIMEOUT", "nan"),
        ("CAMPAIGNS_POLL_INTERVAL", "-1"),
        ("CAMPAIGNS_POLL_INTERVAL", "inf"),
        ("CAMPAIGNS_CLOCK", "now"),
        ("CAMPAIGNS_CLOCK", "2026-03-08T13:30:00,60,1"),
        ("CAMPAIGNS_CLOCK", "2026-03-08T13:30:00Z,0,1"),
        ("CAMPAIGNS_CLOCK", "2026-03-08T13:30:00Z,inf,1"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}: ")
    assert caught.value.exit_code == 2
    assert caught.value.remedy


@pytest.mark.parametrize("url", ["redis://h", "rediss://:secret@h:6380/1", "unix:///run/valkey.sock"])
def test_message_servers_that_can_be_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CAMPAIGNS_REDIS_URL", url)
    assert load_settings().redis_url == url


@pytest.mark.parametrize("url", [REAL_API, "https://api.retellai.com:443/", "https://eu.RetellAI.com"])
def test_a_virtual_clock_is_refused_against_the_real_api(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RETELL_BASE_URL", url)
    monkeypatch.setenv("CAMPAIGNS_CLOCK", CLOCK)
    settings = load_settings()
    assert settings.real_api
    with pytest.raises(UsageError, match="CAMPAIGNS_CLOCK"):
        settings.clock()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_only_a_program_on_this_machine_is_a_stand_in(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RETELL_BASE_URL", url)
    assert load_settings().stand_in
    monkeypatch.setenv("RETELL_BASE_URL", "http://proxy.example:1")
    assert not load_settings().stand_in


@pytest.mark.parametrize(
    "url", ["https://notretellai.com", "https://retellai.com.example", "http://127.0.0.1:9"]
)
def test_other_servers_are_not_the_real_api(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RETELL_BASE_URL", url)
    assert load_settings().real_api is False
