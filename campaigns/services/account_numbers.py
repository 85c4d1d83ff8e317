"""The account's phone numbers as Retell lists them: read now and then, kept in a table, never asked for by a dial."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from campaigns.domain.states import FINAL_CAMPAIGN
from campaigns.retell import PhoneNumber, RetellError
from campaigns.services.context import Context
from campaigns.store import Store

log = structlog.get_logger(__name__)

#: Real time after which workers ask for the account's numbers anew: a type hardly ever changes.
LIST_MS = 3_600_000
#: The same where the list could not be read: until then all providers share one schedule.
LIST_AGAIN_MS = 60_000
#: The same after a refused dial, which may mean that a number was given up.
LIST_AFTER_REFUSAL_MS = 30_000


def note_numbers(store: Store, workspace: str, listed: Sequence[PhoneNumber]) -> None:
    """Keep Retell's list of the account's numbers, whoever asked for it. An empty one says nothing."""
    if listed:
        types = {number.phone_number: number.phone_number_type for number in listed}
        store.numbers.note_list(workspace, types, _dialing(store, workspace))


def keep_numbers_fresh(context: Context, every_ms: int = LIST_MS) -> None:
    """Ask Retell for the account's numbers if nobody has for so long (real time). On failure nothing changes."""
    if not context.store.numbers.take_listing_turn(context.workspace, every_ms):
        return
    try:
        note_numbers(context.store, context.workspace, context.retell.list_phone_numbers())
    except RetellError as error:
        context.store.numbers.put_off_listing(context.workspace, max(0, every_ms - LIST_AGAIN_MS))
        log.warning("numbers_unknown", error=str(error))


def is_gone(context: Context, number: str) -> bool:
    """After a refused dial: whether the number is not the account's any more, so that the lead had no part in it."""
    keep_numbers_fresh(context, LIST_AFTER_REFUSAL_MS)
    known = context.store.numbers.known(context.workspace).get(number)
    if known is None or known.listed is not False:
        return False
    if context.store.numbers.refuse(context.workspace, number, context.clock.now()):
        log.error("number_is_gone", number=number)
    return True


def _dialing(store: Store, workspace: str) -> set[str]:
    """Numbers of the campaigns that are not over."""
    return {
        number
        for campaign in store.campaigns.listed(workspace)
        if campaign.state not in FINAL_CAMPAIGN
        for number in campaign.options.from_numbers
    }
