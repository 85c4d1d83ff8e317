"""`campaigns call`: one test call, as a campaign of one lead, through the same gate and into the same records."""

from __future__ import annotations

import contextlib
import csv
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from campaigns.cli import campaign_options as asked
from campaigns.cli import options as given
from campaigns.cli.documents.campaigns import TestCall
from campaigns.cli.drafts import new_campaign
from campaigns.cli.output import Output
from campaigns.cli.steering import start
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.states import FINAL_LEAD, CampaignState, LeadState
from campaigns.runtime import open_context
from campaigns.services import dial as dialing
from campaigns.services import dispatch, reconcile, results
from campaigns.services.context import Context
from campaigns.services.imports import import_file
from campaigns.services.report import iso, status
from campaigns.settings import Settings, load_settings
from campaigns.store import Page, Store
from workers.embedded import HomeLock, Stack, answers, socket_path

#: Real seconds for which a line is waited for, and between two looks at the call.
_PATIENCE, _EVERY = 20.0, 0.5
#: Columns that decide something, and so cannot be variables of the prompt.
_PHONE_COLUMN = "phone_number"


def register(app: typer.Typer) -> None:
    app.command("call")(call)


@asked.campaign_options("agents", "from_numbers", "profile", "windows", "timezone", "region", config=False)
def call(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Who is called, E.164.")],
    variables: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="A variable of the agent's prompt. Repeatable."),
    ] = None,
    as_json: given.Json = False,
    *,
    changes: asked.Changes,
) -> None:
    """Make one test call, now or never: do-not-call, calling window, caps and records are those of a campaign.

    Example: campaigns call +14155550123 --agent agent_abc123 --var first_name=Ann
    """
    settings, out = load_settings(), Output(as_json)
    given.e164(number, "the number")
    told = given.pairs(variables, "--var", "first_name=Ann") if variables else {}
    if _PHONE_COLUMN in told:
        raise UsageError(f"--var {_PHONE_COLUMN} is the number itself", "give the variable another name")
    wanted = changes.over(CampaignOptions(retry="none", max_attempts=1, concurrency=1))
    with _message_server(settings) as served:
        context = open_context(served)
        try:
            document = _Caller(out, served, context, number, told).run(wanted)
        finally:
            context.retell.close()
    out.document(document)
    if not as_json:
        out.fields(document, leave_out=("transcript",))
        if document.transcript:
            out.line(document.transcript)


@contextlib.contextmanager
def _message_server(settings: Settings) -> Iterator[Settings]:
    """Calls per second are shared with whoever else dials: on their server, or on the home's own."""
    if settings.redis_url:
        yield settings
        return
    url = f"unix://{socket_path(settings.home)}"
    if answers(url):
        yield settings.model_copy(update={"redis_url": url})
        return
    with HomeLock(settings.home.resolve()), Stack(settings.home) as stack:
        yield settings.model_copy(update={"redis_url": stack.valkey()})


class _Caller:
    def __init__(
        self, out: Output, settings: Settings, context: Context, number: str, variables: dict[str, str]
    ) -> None:
        self._out, self._settings, self._context = out, settings, context
        self._number, self._variables = number, variables
        self._store: Store = context.store

    def run(self, wanted: CampaignOptions) -> TestCall:
        campaign = new_campaign(self._store, self._settings, f"call-{uuid.uuid4().hex[:8]}", wanted)
        try:
            self._import(campaign)
            start(self._store, self._settings, campaign)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            self._follow(self._now(campaign))
        finally:
            self._put_away(campaign)
        return self._document(campaign)

    def _now(self, campaign: Campaign) -> Campaign:
        found = self._store.campaigns.get(campaign.id)
        if found is None:
            raise CampaignsError(f"{campaign.name} is gone", "somebody deleted it meanwhile; call again")
        return found

    def _import(self, campaign: Campaign) -> None:
        """The way of every lead: the number and its zone are judged as those of a file."""
        with tempfile.TemporaryDirectory(prefix="campaigns-") as folder:
            path = Path(folder) / "test call.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(
                    [[_PHONE_COLUMN, *self._variables], [self._number, *self._variables.values()]]
                )
            import_file(self._store, campaign, path, self._context.clock.now(), given.operator())
        for reject in self._store.imports.rejects(campaign.id):
            raise CampaignsError(f"{self._number} cannot be called: {reject.message}", "correct the number")
        [lead] = self._store.listings.leads(campaign.id, Page("line"))
        if lead["state"] == LeadState.SUPPRESSED:
            raise CampaignsError(f"{self._number} is on the do-not-call list", "nobody may call it")
        if lead["state"] == LeadState.HELD:
            raise CampaignsError(
                f"{self._number} cannot be called: {lead['hold_remedy']}", "give its --timezone or --region"
            )

    def _follow(self, campaign: Campaign) -> None:
        """Claim and dial, then look until the call is settled."""
        deadline = time.monotonic() + _PATIENCE
        said = ""
        while True:
            self._work(campaign)
            current = status(self._store, self._now(campaign), self._context.clock.now())
            [lead] = self._store.listings.leads(campaign.id, Page("line"))
            if lead["state"] in FINAL_LEAD or lead["state"] == LeadState.HELD:
                return
            if current.campaign.state != CampaignState.RUNNING:
                raise CampaignsError(
                    f"the call was not made: {current.campaign.reason}", "mend it, then call again"
                )
            state = next(
                (name for name, count in current.attempts.items() if count and name != "not_placed"), ""
            )
            if not state and (current.next_event.at is not None or time.monotonic() > deadline):
                at = f" at {iso(current.next_event.at)}" if current.next_event.at else ""
                refusals = ", ".join(current.tally.deferrals)
                raise CampaignsError(
                    f"{self._number} cannot be called now: {refusals or current.next_event.what}{at}",
                    "call again then, or see `campaigns doctor`",
                )
            if state != said and self._out.shows_progress:
                said = state
                sys.stderr.write(f"{state or 'waiting for a line'}\n")
            time.sleep(_EVERY)

    def _work(self, campaign: Campaign) -> None:
        """What workers would do, for this one call; where some are running, they may be faster."""
        context = self._context
        for attempt_id in dispatch.pace(context, only=campaign.id).attempt_ids:
            while (dialed := dialing.dial(context, attempt_id)).dialed is dialing.Dialed.LATER:
                time.sleep(dialed.again_in)
        polled = results.poll(context)
        for attempt_id in results.follow_up(context, polled) if polled else []:
            results.settle(context, attempt_id)
        reconcile.reconcile(context)

    def _put_away(self, campaign: Campaign) -> None:
        """Whatever happened: this lead is never called later, and a test call is no line of `campaigns status`."""
        now = self._context.clock.now()
        if not self._store.campaigns.complete_if_done(campaign.id, now):
            self._store.campaigns.cancel(campaign.id, now)
        self._store.removals.archive(campaign.id, now)

    def _document(self, campaign: Campaign) -> TestCall:
        attempts: Sequence[dict[str, object]] = list(self._store.listings.attempts(campaign.id, Page("time")))
        if not attempts:
            raise CampaignsError(f"{self._number} was not called", f"see `campaigns events {campaign.name}`")
        last = self._store.listings.call_of(str(attempts[-1]["id"]))
        return TestCall(
            campaign=campaign.name,
            phone=self._number,
            attempt=str(last["id"]),
            state=str(last["state"]),
            call_id=last["call_id"],
            outcome=last["outcome"],
            disconnection_reason=last["disconnection_reason"],
            duration_seconds=None if last["duration_ms"] is None else last["duration_ms"] / 1000,
            cost_cents=last["cost_cents"],
            successful=last["successful"],
            summary=last["summary"],
            recording_url=last["recording_url"],
            transcript=last["transcript"],
        )
