"""`campaigns doctor`: is everything there that a campaign needs."""

from __future__ import annotations

import contextlib
import functools
import shutil
import zoneinfo
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from campaigns.cli import options as given
from campaigns.cli.documents.installation import Check
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.compliance import NOT_LEGAL_ADVICE, the_book, tzdata_date, tzdata_version
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.states import CampaignState
from campaigns.retell import Agent, RetellClient, RetellError
from campaigns.retell import PhoneNumber as Number
from campaigns.retell.errors import remedy_for
from campaigns.runtime import open_retell, open_store
from campaigns.services.account_numbers import note_numbers
from campaigns.services.health import (
    Finding,
    agents,
    lines,
    numbers,
    open_campaigns,
    skew,
    speaking,
    webhooks,
)
from campaigns.settings import Settings, load_settings

if TYPE_CHECKING:
    from campaigns.retell.connection import Look
    from campaigns.store import Store

_LEAST_DISK = 200 * 1024 * 1024
_OLDEST_TIME_DATA = 183  # days
_NOT_LOOKED_AT = Finding(
    "warning", "not looked at: the account cannot be used", "see the checks before this one"
)


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CHECK", help="Only this check, by its name. Repeatable."),
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Check all that a campaign needs. Exit code 1 on a failure, 3 on a warning.

    Example: campaigns doctor
    """
    settings, out = load_settings(), Output(as_json)
    with contextlib.closing(_Examination(settings)) as examination:
        rows = _rows(examination.checks(), only)
    out.document(rows)
    if not as_json:
        out.table(
            "Doctor",
            ["check", "result", "detail", "remedy"],
            [[row.check, row.result, row.detail, row.remedy] for row in rows],
        )
    results = {row.result for row in rows}
    raise typer.Exit(1 if "failure" in results else NEEDS_A_PERSON if "warning" in results else 0)


def _rows(checks: Mapping[str, Callable[[], Finding]], only: Sequence[str] | None) -> list[Check]:
    unknown = sorted(set(only or ()) - set(checks))
    if unknown:
        raise UsageError(f"--only {unknown[0]!r} is no check", f"use one of {', '.join(checks)}")
    rows = []
    for name, check in checks.items():
        if not only or name in only:
            found = _found(check)
            rows.append(Check(check=name, result=found.result, detail=found.detail, remedy=found.remedy))
    return rows


def _found(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except CampaignsError as error:
        return Finding("failure", str(error), error.remedy)
    except RetellError as error:
        return Finding("failure", error.message, error.remedy)


class _Examination:
    """The checks of one doctor; what several of them look at is fetched once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def checks(self) -> dict[str, Callable[[], Finding]]:
        """Name -> check, in the order in which one leans on another."""
        return {
            "database": self._database,
            "message server": self._broker,
            "workers and beat": self._workers,
            "clock": self._clock,
            "time data": self._time_data,
            "calling rules": self._rules,
            "disk": self._disk,
            "API key": self._key,
            "Retell": self._reachable,
            "clock skew": self._skew,
            "concurrency": self._usable(self._concurrency),
            "numbers": self._usable(self._from_numbers),
            "agents": self._usable(lambda: agents(self._speaking)),
            "webhooks": self._usable(lambda: webhooks(self._speaking, _unreachable)),
        }

    # -- this installation

    def close(self) -> None:
        if "_retell" in self.__dict__:
            self._retell.close()

    @functools.cached_property
    def _store(self) -> Store:
        return open_store(self._settings)

    def _database(self) -> Finding:
        database = self._store.database
        count = len(self._store.campaigns.listed())
        where = database.url.render_as_string(hide_password=True)
        size = f"{database.size() / 2**20:,.1f} MiB"
        return Finding("ok", f"{where}, schema {database.revision}, {size}, {count} campaigns")

    @functools.cached_property
    def _redis_url(self) -> str | None:
        """The message server to look at: the one that is set, or the embedded one if it runs."""
        from workers.embedded import answers, socket_path

        if self._settings.redis_url:
            return self._settings.redis_url
        url = f"unix://{socket_path(self._settings.home)}"
        return url if answers(url) else None

    def _broker(self) -> Finding:
        from workers.embedded import answers, server_binary

        if not self._settings.redis_url:
            state = "at work" if self._redis_url else "started by `campaigns run`"
            return Finding("ok", f"embedded, {server_binary()}, {state}")
        if not answers(self._settings.redis_url):
            return Finding(
                "failure", "CAMPAIGNS_REDIS_URL does not answer", "start the server, or correct the address"
            )
        return Finding("ok", "answers")

    def _workers(self) -> Finding:
        import redis

        from workers.alive import processes, queue_depths
        from workers.queues import CONTROL_QUEUES, DIAL_QUEUES

        url = self._redis_url
        if url is None:
            return Finding("ok", "none: `campaigns run` starts its own")
        client: Any = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
        try:
            alive, depths = processes(client), queue_depths(client)
        except (redis.RedisError, OSError):
            return Finding("failure", "the message server does not answer", "see the check before this one")
        finally:
            client.close()
        kinds = Counter(one.kind for one in alive)
        taken = {queue for one in alive for queue in one.queues}
        waiting = ", ".join(f"{name} {depth}" for name, depth in depths.items())
        detail = f"{kinds['worker']} workers, {kinds['beat']} beat; messages waiting: {waiting}"
        missing = []
        if not taken >= set(DIAL_QUEUES):
            missing.append("nobody dials: `campaigns worker --no-control`")
        if not taken >= set(CONTROL_QUEUES):
            missing.append("nobody paces and collects results: `campaigns worker --no-dial`")
        if not kinds["beat"]:
            missing.append("no tick: `campaigns beat`")
        if not missing:
            return Finding("ok", detail)
        running = self._store.campaigns.listed(self._settings.workspace, [CampaignState.RUNNING])
        return Finding("failure" if running else "warning", detail, "; ".join(missing))

    def _clock(self) -> Finding:
        clock = self._settings.clock()
        kind = "the machine's" if clock.speed == 1 else f"virtual, {clock.speed:g} times real time"
        return Finding("ok", f"{kind}: {clock.now():%Y-%m-%d %H:%M:%S} UTC")

    def _time_data(self) -> Finding:
        detail = f"tzdata {tzdata_version()}, of {tzdata_date():%B %Y} or later, before the system's"
        if zoneinfo.TZPATH:
            where = ", ".join(zoneinfo.TZPATH)
            return Finding(
                "failure", f"the system's time-zone data is used: {where}", "dial nothing by it: report it"
            )
        # Real time, whatever a virtual clock says: the world changes its clocks by it.
        if (datetime.now(UTC).date() - tzdata_date()).days > _OLDEST_TIME_DATA:
            return Finding(
                "warning",
                f"{detail}: it may be older than 6 months, and calls an hour off",
                "pip install --upgrade tzdata, and restart the workers",
            )
        return Finding("ok", detail)

    def _rules(self) -> Finding:
        book = the_book()
        places = ", ".join(book.countries)
        return Finding(
            "ok", f"version {book.version}, {len(book.rules)} rules for {places}. {NOT_LEGAL_ADVICE}"
        )

    def _disk(self) -> Finding:
        home = self._settings.home.resolve()
        free = shutil.disk_usage(home if home.exists() else home.parent).free
        if free < _LEAST_DISK:
            return Finding(
                "failure", f"{free // 2**20} MiB free", "free some disk space before calls are made"
            )
        return Finding("ok", f"{free // 2**20:,} MiB free")

    # -- the account

    @functools.cached_property
    def _retell(self) -> RetellClient:
        return open_retell(self._settings)

    @functools.cached_property
    def _looked(self) -> Look | RetellError:
        """One request, and one only: a server that is away is not waited for again by each check."""
        try:
            return self._retell.look("/get-concurrency")
        except RetellError as error:
            return error

    @functools.cached_property
    def _numbers(self) -> list[Number]:
        return self._retell.list_phone_numbers()

    def _key(self) -> Finding:
        if not isinstance(self._looked, RetellError):
            if self._looked.status == 401:
                return Finding(
                    "failure", "Retell refuses it", "set RETELL_API_KEY to a valid key of this workspace"
                )
            if self._looked.status < 400:
                return Finding("ok", "is accepted")
        return Finding("ok", "is set; whether it is accepted is not known")

    def _reachable(self) -> Finding:
        if not self._settings.api_key.get_secret_value():
            return _NOT_LOOKED_AT
        look = self._looked
        if isinstance(look, RetellError):
            raise look
        detail = f"{self._settings.base_url} answers {look.status} in {look.seconds * 1000:,.0f} ms"
        if look.status >= 300 and look.status != 401:
            return Finding("failure", detail, remedy_for(look.status))
        return Finding("ok", detail)

    def _skew(self) -> Finding:
        if not self._settings.api_key.get_secret_value() or isinstance(self._looked, RetellError):
            return _NOT_LOOKED_AT
        return skew(self._looked.ahead)

    def _usable(self, check: Callable[[], Finding]) -> Callable[[], Finding]:
        def run() -> Finding:
            if not self._settings.api_key.get_secret_value():
                return _NOT_LOOKED_AT
            looked = self._looked
            usable = not isinstance(looked, RetellError) and looked.status < 300
            return check() if usable else _NOT_LOOKED_AT

        return run

    def _concurrency(self) -> Finding:
        workspace = self._settings.workspace
        reserve = self._store.workspaces.account(workspace).reserve
        return lines(self._retell.get_concurrency(), self._store.own_lines(workspace), reserve)

    def _from_numbers(self) -> Finding:
        workspace = self._settings.workspace
        self._store.workspaces.ensure(workspace)
        note_numbers(self._store, workspace, self._numbers)
        return numbers(self._numbers, open_campaigns(self._store, workspace))

    @functools.cached_property
    def _speaking(self) -> dict[str, Agent | None]:
        return speaking(self._retell, self._numbers, open_campaigns(self._store, self._settings.workspace))


def _unreachable(url: str) -> str | None:
    """What keeps a webhook from arriving there, as far as one request from this machine shows."""
    try:
        status = httpx.get(url, timeout=5, follow_redirects=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"no answer ({type(error).__name__})"
    # A receiver takes POST only, so it may well refuse this GET; what is not there says 404.
    return f"answers {status}" if status == 404 or status >= 500 else None
