"""The composition root: settings in, a wired `Context` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campaigns.domain.clock import Clock, ScaledClock, from_ms, parse_clock
from campaigns.domain.errors import CampaignsError
from campaigns.settings import SIMULATOR, Settings

# What a command does not use is not imported: most of the time of a short one is spent there.
if TYPE_CHECKING:
    from campaigns.retell import RetellClient
    from campaigns.services.context import Context
    from campaigns.store import Store


def open_store(settings: Settings) -> Store:
    """The system of record. Raises CampaignsError that names the remedy."""
    import sqlalchemy.exc

    from campaigns.store import Store

    if not settings.database_url:
        try:
            settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise CampaignsError(
                f"the home {settings.home} cannot be made: {error.strerror}",
                "set CAMPAIGNS_HOME to another folder",
            ) from None
    try:
        return Store.open(settings.store_url())
    except sqlalchemy.exc.OperationalError as error:
        remedy = "free disk space and check the folder's permissions, or set CAMPAIGNS_HOME to another one"
        if settings.database_url:
            remedy = "check CAMPAIGNS_DATABASE_URL and that the server is up"
        raise CampaignsError(f"the database cannot be opened: {str(error.orig).strip()}", remedy) from None
    except OSError as error:
        raise CampaignsError(
            f"the home cannot be written: {error.filename}: {error.strerror}",
            "check the folder's permissions, or set CAMPAIGNS_HOME to another one",
        ) from None
    except sqlalchemy.exc.DatabaseError as error:
        where = settings.home / "campaigns.db"
        remedy = f"restore {where} from a copy, or set CAMPAIGNS_HOME to another folder"
        if settings.database_url:
            remedy = "check CAMPAIGNS_DATABASE_URL and what its user may do"
        words = str(error.orig).strip().splitlines()[0]
        raise CampaignsError(f"the database cannot be used: {words}", remedy) from None
    except sqlalchemy.exc.ArgumentError:
        raise CampaignsError(
            "CAMPAIGNS_DATABASE_URL cannot be read", "write it as postgresql://user:password@host/database"
        ) from None


def clock_of(settings: Settings, store: Store, workspace: str) -> Clock:
    """By which clock the workspace's campaigns go, also for who looks on while another process simulates.

    After a simulated run its time stands still, at the latest event.
    """
    own = settings.clock()
    if workspace != SIMULATOR or isinstance(own, ScaledClock):
        return own
    spec = store.workspaces.clock(workspace)
    if spec is not None:
        return parse_clock(spec)
    latest = store.reports.latest_business_ms()
    return own if latest is None else ScaledClock(from_ms(latest), 1.0, 0.0, lambda: 0.0)


def open_retell(settings: Settings) -> RetellClient:
    """The API client. Raises CampaignsError without a key."""
    from campaigns.retell import RetellClient

    key = settings.api_key.get_secret_value()
    if not key:
        raise CampaignsError(
            "there is no API key", "set RETELL_API_KEY (in the environment or in .env), or use --simulate"
        )
    return RetellClient(key, settings.base_url, dial_timeout=settings.dial_timeout)


def open_context(settings: Settings) -> Context:
    """Everything a worker needs."""
    import redis

    from campaigns.services.context import Context
    from campaigns.services.cps import CallsPerSecond
    from campaigns.services.launch import DEFAULT_CPS

    store = open_store(settings)
    store.workspaces.ensure(settings.workspace)
    return Context(
        store=store,
        retell=open_retell(settings),
        clock=settings.clock(),
        limiter=CallsPerSecond(redis.Redis.from_url(settings.redis_url, socket_timeout=5)),
        workspace=settings.workspace,
        dial_timeout=settings.dial_timeout,
        poll_interval=settings.poll_interval,
        default_cps=None if settings.stand_in else DEFAULT_CPS,
    )
