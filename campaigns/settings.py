"""The environment, read once: what the commands, the workers and the simulator are told from outside."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from campaigns.domain.clock import Clock, ScaledClock, parse_clock
from campaigns.domain.errors import UsageError

REAL_API = "https://api.retellai.com"
#: Names of the two kinds of account; campaigns of one are never dialed through the other.
RETELL, SIMULATOR = "retell", "simulator"


class Settings(BaseSettings):
    """Environment variables (and `.env`), see the README for each."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    api_key: SecretStr = Field(default=SecretStr(""), validation_alias="RETELL_API_KEY")
    base_url: str = Field(default=REAL_API, validation_alias="RETELL_BASE_URL")
    home: Path = Field(default=Path(".campaigns"), validation_alias="CAMPAIGNS_HOME")
    database_url: str = Field(default="", validation_alias="CAMPAIGNS_DATABASE_URL")
    redis_url: str = Field(default="", validation_alias="CAMPAIGNS_REDIS_URL")
    dial_timeout: float = Field(default=15.0, gt=0, le=60, validation_alias="CAMPAIGNS_DIAL_TIMEOUT")
    poll_interval: float | None = Field(default=None, gt=0, le=60, validation_alias="CAMPAIGNS_POLL_INTERVAL")
    clock_spec: str = Field(default="", validation_alias="CAMPAIGNS_CLOCK")
    workspace: str = Field(default=RETELL, validation_alias="CAMPAIGNS_WORKSPACE")

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a full address, as https://api.retellai.com")
        if parts.port == 0:  # reading it raises ValueError for one beyond 65535
            raise ValueError("port 0 is no address")
        return value.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("write it as redis://localhost:6379/0, rediss:// or unix:///path/to/socket")
        if parts.scheme != "unix" and parts.port == 0:
            raise ValueError("port 0 is no address")
        return value

    @field_validator("clock_spec")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_clock(value)
        return value

    @property
    def real_api(self) -> bool:
        return f".{urlsplit(self.base_url).hostname}".endswith(".retellai.com")

    @property
    def stand_in(self) -> bool:
        """Whether the API is a program on this machine, with no telephone behind it."""
        return urlsplit(self.base_url).hostname in ("127.0.0.1", "localhost", "::1")

    def store_url(self) -> str:
        """SQLAlchemy URL of the database: CAMPAIGNS_DATABASE_URL, or SQLite in the home."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'campaigns.db'}"

    def clock(self) -> Clock:
        """The shared business clock. Raises UsageError for a scaled one against the real API."""
        clock = parse_clock(self.clock_spec)
        if isinstance(clock, ScaledClock) and self.real_api:
            raise UsageError(
                "CAMPAIGNS_CLOCK is set, and a virtual clock must never decide when real people are called",
                "unset CAMPAIGNS_CLOCK, or use --simulate",
            )
        return clock


def load_settings() -> Settings:
    """Settings from the environment. Raises UsageError that names the variable and what it should be."""
    try:
        return Settings()
    except UnicodeDecodeError:
        raise UsageError("the file .env is not UTF-8 text", "save it as UTF-8, or remove it") from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        message = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(f"{first['loc'][0]}: {message}", "correct the variable, or unset it") from None
