"""Commands that settle doubt: audit, reconcile, resolve."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from campaigns.cli import options as given
from campaigns.cli.documents.campaigns import Reconciliation
from campaigns.cli.output import NEEDS_A_PERSON, Output
from campaigns.cli.workspace import retell_of
from campaigns.domain.errors import CampaignsError, UsageError
from campaigns.domain.states import AttemptState
from campaigns.runtime import open_context, open_store
from campaigns.services import batch_calls, results
from campaigns.services import reconcile as reconciling
from campaigns.services.audit import audit
from campaigns.services.report import iso
from campaigns.settings import Settings, load_settings
from campaigns.store import Store
from workers.embedded import socket_path

_SHOWN = 10


class Word(StrEnum):
    PLACED = "placed"
    NOT_PLACED = "not-placed"


def register(app: typer.Typer) -> None:
    app.command("audit")(audit_campaign)
    app.command("reconcile")(reconcile)
    app.command("resolve")(resolve)


def audit_campaign(name: given.Name, as_json: given.Json = False) -> None:
    """Prove that every row is accounted for and every attempt is one call. Exit code 0 only if all holds.

    Example: campaigns audit spring
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    campaign = given.find_campaign(store, name)
    with retell_of(settings, store, campaign.workspace) as retell:
        found = audit(store, retell, campaign)
    out.document(found.document())
    if not as_json:
        rows = [["holds" if c.holds else "FAILS", c.claim, c.detail] for c in found.checks]
        out.table(f"Audit of {name}", ["", "claim", "seen"], rows)
        for check in found.checks:
            for line in check.found[:_SHOWN]:
                out.line(f"{check.claim}: {line}")
            if len(check.found) > _SHOWN:
                out.line(f"{check.claim}: and {len(check.found) - _SHOWN} more (--json names all)")
    raise typer.Exit(0 if found.holds else 1)


def reconcile(as_json: given.Json = False) -> None:
    """One pass by hand over what waits for an answer: ended calls, lost claims, dials nobody knows of.

    Workers do this by themselves, every second; it helps where none is running. Nothing new is dialed by it.

    Example: campaigns reconcile
    """
    settings, out = load_settings(), Output(as_json)
    if not settings.redis_url:
        # Whoever dials from this home has its server there; where nobody answers, nothing is sent again.
        settings = settings.model_copy(update={"redis_url": f"unix://{socket_path(settings.home)}"})
    context = open_context(settings)
    try:
        polled = results.poll(context)
        ready = results.follow_up(context, polled) if polled else []
        settled = sum(results.settle(context, attempt_id) for attempt_id in ready)
        looked = batch_calls.look(context)
        settled += sum(results.settle(context, attempt_id) for attempt_id in looked.settle)
        done = reconciling.reconcile(context)
    finally:
        context.retell.close()
    found = Reconciliation(
        freed_claims=done.freed_claims,
        doubted=done.doubted,
        adopted=done.adopted + looked.found,
        sent_again=done.sent_again,
        unresolved=done.unresolved + looked.unresolved,
        ended=(polled.ended if polled else 0) + looked.ended,
        settled=settled,
        returned=looked.returned,
    )
    out.document(found)
    if not as_json:
        out.fields(found)
    left = context.store.recovery.unresolved_count(settings.workspace)
    if left:
        out.note(
            f"{left} unresolved attempts wait for a person: `campaigns attempts NAME --state unresolved`"
        )
    raise typer.Exit(NEEDS_A_PERSON if left else 0)


def resolve(
    attempt: Annotated[str, typer.Argument(metavar="ATTEMPT", help="Id of an unresolved attempt.")],
    word: Annotated[Word, typer.Argument(metavar="placed|not-placed", help="What you found out at Retell.")],
    call: Annotated[
        str | None, typer.Option("--call", metavar="ID", help="The call, where it was placed.")
    ] = None,
    as_json: given.Json = False,
) -> None:
    """Say what became of an unresolved attempt: its lead goes on with the call's result, or is dialed again.

    Example: campaigns resolve ATTEMPT not-placed
    """
    settings, out = load_settings(), Output(as_json)
    store = open_store(settings)
    found = store.recovery.unresolved(attempt)
    if found is None:
        raise CampaignsError(
            f"{attempt} is not an unresolved attempt",
            "`campaigns attempts NAME --state unresolved` lists them",
        )
    campaign = store.campaigns.get(found[0])
    if campaign is None:
        raise CampaignsError(f"the campaign of {attempt} is gone", "restore the database")
    now = settings.clock().now()
    if word is Word.NOT_PLACED:
        if call is not None:
            raise UsageError("--call goes with `placed`", "leave it out")
        reason = f"not placed, says {given.operator()}"
        done = store.attempts.give_back(attempt, AttemptState.UNRESOLVED, reason, 0, now, now)
    else:
        call_id = call or _search(settings, store, campaign.workspace, attempt)
        done = store.attempts.place(attempt, AttemptState.UNRESOLVED, call_id, now)
    if not done:
        raise CampaignsError(
            f"{attempt} has changed meanwhile", f"look again with `campaigns status {campaign.name}`"
        )
    if campaign.state == "completed":
        store.campaigns.launch(campaign.id, now)
    if word is Word.NOT_PLACED:
        _warn_of_batch(out, store, attempt)
    out.note(f"{attempt} is resolved as {word.value}; run or launch {campaign.name} to go on")
    out.document({"attempt": attempt, "resolved": word.value, "campaign": campaign.name})


def _warn_of_batch(out: Output, store: Store, attempt: str) -> None:
    batch = store.batches.batch_of_attempt(attempt)
    if batch is not None and batch.reopens_at is not None:
        out.line(
            "warning: it was sent in a batch: should Retell have kept it for the same weekday, it rings at"
            f" {iso(batch.reopens_at)}, and is hung up where workers run"
        )


def _search(settings: Settings, store: Store, workspace: str, attempt: str) -> str:
    with retell_of(settings, store, workspace) as retell:
        calls = retell.list_calls(metadata={"attempt_id": attempt})
    if len(calls) != 1:
        raise CampaignsError(
            f"Retell lists {len(calls)} calls for {attempt}",
            "name the right one with --call, or say not-placed",
        )
    return calls[0].call_id
