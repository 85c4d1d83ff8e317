"""Which Retell a campaign, or a call of it, belongs to."""

from __future__ import annotations

from campaigns.domain.clock import ScaledClock, from_ms
from campaigns.domain.errors import CampaignsError
from campaigns.retell import RetellClient
from campaigns.runtime import open_retell
from campaigns.settings import SIMULATOR, Settings
from campaigns.store import Store


def retell_of(settings: Settings, store: Store, workspace: str) -> RetellClient:
    """The API that a campaign was dialed through: for a simulated one, the simulator's ledger in this process."""
    ledger = settings.home.resolve() / "simulator.jsonl"
    if workspace != SIMULATOR or not settings.real_api:
        return open_retell(settings)
    if not ledger.exists():
        raise CampaignsError("the simulator's ledger is gone", f"{ledger} holds what it rang; restore it")
    from campaigns.simulator.api import Api
    from campaigns.simulator.config import SimulatorConfig
    from campaigns.simulator.engine import Engine
    from campaigns.simulator.transport import SimulatorTransport

    latest = from_ms(store.reports.latest_business_ms() or 0)
    engine = Engine(
        SimulatorConfig(ledger=ledger, accept_any=True), ScaledClock(latest, 1.0, 0.0, lambda: 0.0)
    )
    return RetellClient("key_simulator", "http://127.0.0.1", transport=SimulatorTransport(Api(engine)))
