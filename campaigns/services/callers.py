"""The numbers that campaigns call from: which of them are free, and when the next one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from campaigns.domain.caller_ids import Caller, NoneFree, area_code_of, choose, cps_of, none_free, uses_left
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.store import KnownNumber, Store, as_known


@lru_cache(maxsize=4096)
def _placed(number: str) -> Caller:
    """A number with where its area code lies."""
    # The package brings the reading of whole files with it; not every command does that.
    from campaigns.leads.places import regions_of_area_code

    area_code = area_code_of(number)
    regions = regions_of_area_code(area_code) if area_code else ()
    return Caller(number, area_code, frozenset(region.code for region in regions))


def pool(options: CampaignOptions, known: Mapping[str, KnownNumber]) -> list[Caller]:
    """A campaign's numbers with what the table says of them; not with their use, nor where they lie."""
    return [as_known(Caller(number), known.get(number)) for number in options.from_numbers]


def placed_pool(options: CampaignOptions, known: Mapping[str, KnownNumber]) -> list[Caller]:
    """The same with their area codes, and where those lie: what a choice is made among."""
    return [as_known(_placed(number), known.get(number)) for number in options.from_numbers]


def pool_cps(options: CampaignOptions, callers: Sequence[Caller]) -> float | None:
    """Calls per second over all providers of a campaign's numbers; None = no limit."""
    if options.cps is None:
        return None
    kinds = {caller.type for caller in callers}
    return sum(cps_of(kind, options.cps) or 0.0 for kind in kinds) or options.cps


def none_is_free(store: Store, campaign: Campaign, now: datetime) -> NoneFree | None:
    """Why nobody can be called from any of the campaign's numbers just now; None where there is one."""
    options = campaign.options
    callers = pool(options, store.numbers.known(campaign.workspace))
    if options.number_cap is not None:
        callers = store.numbers.callers(campaign.workspace, callers, options.number_cap, now)
    at = to_ms(now)
    return none_free(callers, at) if callers and uses_left(callers, at) == 0 else None


def choice(
    store: Store, campaign: Campaign, phone: str, places: Sequence[str], now: datetime
) -> Caller | NoneFree:
    """The number that a lead would be called from now. Reads the lead's last attempt."""
    callers = placed_pool(campaign.options, store.numbers.known(campaign.workspace))
    callers = store.numbers.callers(campaign.workspace, callers, campaign.options.number_cap, now)
    before = store.listings.last_from_number(campaign.id, phone)
    return choose(callers, phone, places, before, to_ms(now))
