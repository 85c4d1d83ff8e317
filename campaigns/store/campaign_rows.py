"""Campaigns: their rows, their guarded changes of state, and when one is done."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from campaigns.domain.batching import SENT_AHEAD
from campaigns.domain.clock import from_ms, to_ms
from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.domain.pacing import Segment
from campaigns.domain.states import (
    CAMPAIGN_TRANSITIONS,
    FINAL_CAMPAIGN,
    OPEN_ATTEMPT,
    CampaignState,
    LeadState,
)
from campaigns.store.database import Database
from campaigns.store.events import Event, real_ms, record
from campaigns.store.schema import attempts, campaigns, events, files, in_state, leads, segments, workspaces

#: States in which a campaign's end does something.
_ENDS = (CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.SCHEDULED)


def _campaign(row: sa.Row[tuple[object, ...]]) -> Campaign:
    values = row._mapping
    return Campaign(
        id=values["id"],
        name=values["name"],
        workspace=values["workspace"],
        state=CampaignState(values["state"]),
        reason=values["reason"],
        resume_at=None if values["resume_at"] is None else from_ms(values["resume_at"]),
        trips=values["trips"],
        options=CampaignOptions.from_json(values["options"]),
        created_at=from_ms(values["created_at"]),
        launched_at=None if values["launched_at"] is None else from_ms(values["launched_at"]),
        running_since=None if values["running_since"] is None else from_ms(values["running_since"]),
        finished_at=None if values["finished_at"] is None else from_ms(values["finished_at"]),
        archived_at=None if values["archived_at"] is None else from_ms(values["archived_at"]),
        start_at=None if values["start_at"] is None else from_ms(values["start_at"]),
        end_at=None if values["end_at"] is None else from_ms(values["end_at"]),
    )


def _options(options: CampaignOptions) -> dict[str, object]:
    """The columns of the options: the start and the end are instants, to be compared with in SQL."""
    start, end = options.starts_at(), options.ends_at()
    return {
        "options": options.to_json(),
        "start_at": None if start is None else to_ms(start),
        "end_at": None if end is None else to_ms(end),
    }


class CampaignRows:
    def __init__(self, database: Database) -> None:
        self._db = database

    def create(self, name: str, workspace: str, options: CampaignOptions, now: datetime) -> Campaign | None:
        """A new draft; None when the name is taken."""
        campaign_id = uuid.uuid4().hex[:12]
        with self._db.write() as connection:
            connection.execute(self._db.insert_ignore(workspaces).values(name=workspace))
            made = connection.execute(
                self._db.insert_ignore(campaigns)
                .values(
                    id=campaign_id,
                    name=name,
                    workspace=workspace,
                    state=CampaignState.DRAFT,
                    **_options(options),
                    created_at=to_ms(now),
                )
                .returning(campaigns.c.id)
            )
            if made.first() is None:
                return None
            own = "; ".join(CampaignOptions().changes_to(options)) or None
            draft = CampaignState.DRAFT
            record(connection, [Event("campaign", campaign_id, None, draft, to_ms(now), detail=own)])
        return self.get(campaign_id)

    def discard_draft(self, campaign_id: str) -> bool:
        """Remove a draft that never got a file: made for an import that came to nothing."""
        with self._db.write() as connection:
            has_files = sa.select(files.c.id).where(files.c.campaign_id == campaign_id).exists()
            gone = connection.execute(
                sa.delete(campaigns).where(
                    campaigns.c.id == campaign_id,
                    campaigns.c.state == CampaignState.DRAFT,
                    sa.not_(has_files),
                )
            )
            if gone.rowcount:
                connection.execute(sa.delete(events).where(events.c.campaign_id == campaign_id))
        return gone.rowcount == 1

    def get(self, campaign_id: str) -> Campaign | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(campaigns).where(campaigns.c.id == campaign_id)).first()
        return _campaign(row) if row else None

    def by_name(self, name: str) -> Campaign | None:
        with self._db.read() as connection:
            row = connection.execute(sa.select(campaigns).where(campaigns.c.name == name)).first()
        return _campaign(row) if row else None

    def listed(self, workspace: str | None = None, states: Iterable[CampaignState] = ()) -> list[Campaign]:
        """Campaigns in the order they were made, of one workspace and some states where given."""
        query = sa.select(campaigns).order_by(campaigns.c.created_at, campaigns.c.id)
        if workspace is not None:
            query = query.where(campaigns.c.workspace == workspace)
        wanted = list(states)
        if wanted:
            query = query.where(campaigns.c.state.in_(wanted))
        with self._db.read() as connection:
            return [_campaign(row) for row in connection.execute(query)]

    def set_options(self, campaign_id: str, options: CampaignOptions, now: datetime) -> None:
        """Change how the campaign is dialed from the next claim on; what changed is in its events."""
        with self._db.write() as connection:
            row = connection.execute(
                sa.select(campaigns.c.state, campaigns.c.options)
                .where(campaigns.c.id == campaign_id)
                .with_for_update()
            ).one()
            changed = CampaignOptions.from_json(row.options).changes_to(options)
            if not changed:
                return
            connection.execute(
                sa.update(campaigns).where(campaigns.c.id == campaign_id).values(**_options(options))
            )
            detail = "; ".join(changed)
            record(
                connection, [Event("campaign", campaign_id, row.state, row.state, to_ms(now), detail=detail)]
            )

    def segments(self, campaign_ids: Sequence[str]) -> dict[str, list[Segment]]:
        """The segments of each campaign's leads: the probes of a claim."""
        found: dict[str, list[Segment]] = {campaign_id: [] for campaign_id in campaign_ids}
        with self._db.read() as connection:
            for row in connection.execute(
                sa.select(segments).where(segments.c.campaign_id.in_(campaign_ids))
            ):
                found[row.campaign_id].append(Segment(row.zones, row.jurisdictions, row.priority))
        return found

    def launch(self, campaign_id: str, now: datetime) -> bool:
        """draft or completed -> running, or scheduled while its start lies ahead.

        scheduled -> running once it does not. False: it was in another state.
        """
        sources = (CampaignState.DRAFT, CampaignState.COMPLETED)
        columns: dict[str, Any] = {"launched_at": to_ms(now), "finished_at": None, "archived_at": None}
        with self._db.write() as connection:
            if self._waits(connection, campaign_id, now):
                return self._move_in(
                    connection, campaign_id, sources, CampaignState.SCHEDULED, now, **columns
                )
            scheduled = (*sources, CampaignState.SCHEDULED)
            return self._move_in(connection, campaign_id, scheduled, CampaignState.RUNNING, now, **columns)

    @staticmethod
    def _waits(connection: sa.Connection, campaign_id: str, now: datetime) -> bool:
        """Whether its start lies ahead."""
        start = connection.execute(
            sa.select(campaigns.c.start_at).where(campaigns.c.id == campaign_id)
        ).scalar()
        return start is not None and start > to_ms(now)

    def start_due(self, workspace: str, now: datetime) -> list[str]:
        """scheduled -> running for those whose start has come and whose end has not. Returns their ids.

        In batch mode from `SENT_AHEAD` before its start on: what is sent then rings at the start, not before.
        """
        at, soon = to_ms(now), to_ms(now) + int(SENT_AHEAD * 1000)
        query = sa.select(campaigns).where(
            campaigns.c.workspace == workspace,
            campaigns.c.state == CampaignState.SCHEDULED,
            sa.or_(campaigns.c.start_at.is_(None), campaigns.c.start_at <= soon),
        )
        with self._db.read() as connection:
            near = [_campaign(row) for row in connection.execute(query)]
        started: list[str] = []
        for campaign in near:
            ahead = campaign.begins_after(now)
            if ahead and not campaign.options.in_batches:
                continue
            with self._db.write() as connection:
                if self._move_in(
                    connection,
                    campaign.id,
                    (CampaignState.SCHEDULED,),
                    CampaignState.RUNNING,
                    now,
                    sa.or_(campaigns.c.start_at.is_(None), campaigns.c.start_at <= (soon if ahead else at)),
                    sa.or_(campaigns.c.end_at.is_(None), campaigns.c.end_at > at),
                    detail="its start is near" if ahead else "its start has come",
                ):
                    started.append(campaign.id)
        return started

    def past_end(self, workspace: str, now: datetime) -> list[Campaign]:
        """Launched campaigns whose end has come and that are not completed yet."""
        query = sa.select(campaigns).where(
            campaigns.c.workspace == workspace, campaigns.c.state.in_(_ENDS), campaigns.c.end_at <= to_ms(now)
        )
        with self._db.read() as connection:
            return [_campaign(row) for row in connection.execute(query)]

    def expire(self, campaign_id: str, now: datetime) -> int:
        """pending -> expired for the leads of a campaign whose end has come. Returns how many."""
        with self._db.write() as connection:
            # A later end that is set at this very moment keeps its leads waiting.
            ended = connection.execute(
                sa.select(campaigns.c.id)
                .where(campaigns.c.id == campaign_id, campaigns.c.end_at <= to_ms(now))
                .with_for_update()
            ).first()
            if ended is None:
                return 0
            connection.execute(
                sa.text(
                    "INSERT INTO events (at, at_real, campaign_id, lead_id, subject, from_state, to_state)"
                    " SELECT :now, :real, campaign_id, id, 'lead', state, 'expired' FROM leads"
                    " WHERE campaign_id = :id AND state = 'pending'"
                ),
                {"now": to_ms(now), "real": real_ms(), "id": campaign_id},
            )
            moved = connection.execute(
                sa.update(leads)
                .where(leads.c.campaign_id == campaign_id, in_state(LeadState.PENDING))
                .values(state=LeadState.EXPIRED)
            )
        return moved.rowcount

    def pause(self, campaign_id: str, reason: str, now: datetime) -> bool:
        """running or scheduled -> paused, with the reason; a pause of the breaker becomes one that lasts.

        False: it was in another state.
        """
        with self._db.write() as connection:
            return self._pause_in(connection, campaign_id, reason, now)

    def pause_all(self, reason: str, now: datetime) -> list[str]:
        """`pause` for every campaign of every account, in one transaction. Returns the ids of those that it paused."""
        goes_on = sa.or_(
            campaigns.c.state.in_((CampaignState.RUNNING, CampaignState.SCHEDULED)),
            campaigns.c.resume_at.is_not(None),
        )
        with self._db.write() as connection:
            found = connection.execute(sa.select(campaigns.c.id).where(goes_on).order_by(campaigns.c.id))
            return [
                campaign_id
                for campaign_id in found.scalars().all()
                if self._pause_in(connection, campaign_id, reason, now)
            ]

    def _pause_in(self, connection: sa.Connection, campaign_id: str, reason: str, now: datetime) -> bool:
        lasting = connection.execute(
            sa.update(campaigns)
            .where(campaigns.c.id == campaign_id, campaigns.c.resume_at.is_not(None))
            .values(resume_at=None, reason=reason)
        )
        if lasting.rowcount:
            return True
        sources = (CampaignState.RUNNING, CampaignState.SCHEDULED)
        return self._move_in(
            connection, campaign_id, sources, CampaignState.PAUSED, now, detail=reason, reason=reason
        )

    def resume(self, campaign_id: str, now: datetime) -> bool:
        """paused -> running, or scheduled while its start lies ahead, by an operator. False: it was not paused."""
        with self._db.write() as connection:
            waits = self._waits(connection, campaign_id, now)
            to = CampaignState.SCHEDULED if waits else CampaignState.RUNNING
            return self._move_in(
                connection, campaign_id, (CampaignState.PAUSED,), to, now, reason=None, trips=0
            )

    def trip(self, campaign_id: str, reason: str, resume_at: datetime, now: datetime) -> bool:
        """running -> paused by the breaker, until `resume_at`. False: it was not running."""
        return self._move(
            campaign_id,
            (CampaignState.RUNNING,),
            CampaignState.PAUSED,
            now,
            detail=reason,
            reason=reason,
            resume_at=to_ms(resume_at),
            trips=campaigns.c.trips + 1,
        )

    def resume_tripped(self, campaign_id: str, now: datetime) -> bool:
        """paused by the breaker -> running, when its time has come. False: it was not, or not yet."""
        with self._db.write() as connection:
            return self._move_in(
                connection,
                campaign_id,
                (CampaignState.PAUSED,),
                CampaignState.RUNNING,
                now,
                campaigns.c.resume_at <= to_ms(now),
                detail="the breaker tries again",
                reason=None,
            )

    def forget_trips(self, campaign_id: str) -> None:
        """The campaign's calls go through again: no more trying gently."""
        with self._db.write() as connection:
            connection.execute(sa.update(campaigns).where(campaigns.c.id == campaign_id).values(trips=0))

    def cancel(self, campaign_id: str, now: datetime) -> bool:
        """Any non-final state -> cancelled, its pending and held leads with it. Calls in progress stay."""
        sources = tuple(s for s, to in CAMPAIGN_TRANSITIONS.items() if CampaignState.CANCELLED in to)
        with self._db.write() as connection:
            if not self._move_in(
                connection,
                campaign_id,
                sources,
                CampaignState.CANCELLED,
                now,
                finished_at=to_ms(now),
                reason=None,
            ):
                return False
            waiting = (LeadState.PENDING, LeadState.HELD)
            connection.execute(
                sa.text(
                    "INSERT INTO events (at, at_real, campaign_id, lead_id, subject, from_state, to_state)"
                    " SELECT :now, :real, campaign_id, id, 'lead', state, 'cancelled' FROM leads"
                    " WHERE campaign_id = :id AND state IN ('pending', 'held')"
                ),
                {"now": to_ms(now), "real": real_ms(), "id": campaign_id},
            )
            connection.execute(
                sa.update(leads)
                .where(leads.c.campaign_id == campaign_id, leads.c.state.in_(waiting))
                .values(state=LeadState.CANCELLED, hold_code=None, hold_remedy=None)
            )
        return True

    def complete_if_done(self, campaign_id: str, now: datetime) -> bool:
        """running -> completed when no lead is pending or in flight and no attempt is open.

        After its end, a paused or scheduled campaign completes as well.
        """
        unfinished = sa.or_(
            *(
                sa.select(leads.c.id).where(leads.c.campaign_id == campaign_id, in_state(state)).exists()
                for state in (LeadState.PENDING, LeadState.IN_FLIGHT)
            )
        )
        # More leads are on their way in.
        moving = (
            sa.select(files.c.id)
            .where(files.c.campaign_id == campaign_id, files.c.staged.is_not(None))
            .exists()
        )
        open_attempts = (
            sa.select(attempts.c.id)
            .where(attempts.c.campaign_id == campaign_id, attempts.c.state.in_(list(OPEN_ATTEMPT)))
            .exists()
        )
        with self._db.read() as connection:
            if connection.execute(sa.select(sa.or_(unfinished, open_attempts, moving))).scalar():
                return False
        with self._db.write() as connection:
            return self._move_in(
                connection,
                campaign_id,
                _ENDS,
                CampaignState.COMPLETED,
                now,
                sa.or_(campaigns.c.state == CampaignState.RUNNING, campaigns.c.end_at <= to_ms(now)),
                sa.not_(unfinished),
                sa.not_(open_attempts),
                sa.not_(moving),
                finished_at=to_ms(now),
                reason=None,
            )

    def _move(
        self,
        campaign_id: str,
        sources: Sequence[CampaignState],
        to: CampaignState,
        now: datetime,
        detail: str | None = None,
        **columns: object,
    ) -> bool:
        with self._db.write() as connection:
            return self._move_in(connection, campaign_id, sources, to, now, detail=detail, **columns)

    @staticmethod
    def _move_in(
        connection: sa.Connection,
        campaign_id: str,
        sources: Sequence[CampaignState],
        to: CampaignState,
        now: datetime,
        *conditions: sa.ColumnElement[bool],
        detail: str | None = None,
        **columns: object,
    ) -> bool:
        if to is CampaignState.RUNNING:
            columns["running_since"] = to_ms(now)
        if any(to not in CAMPAIGN_TRANSITIONS[source] for source in sources):
            raise AssertionError(f"no transition to {to} from one of {sources}")
        # An import keeps its campaign from ending, not from being paused.
        was = connection.execute(
            sa.select(campaigns.c.state)
            .where(campaigns.c.id == campaign_id)
            .with_for_update(key_share=to not in FINAL_CAMPAIGN)
        ).scalar()
        moved = connection.execute(
            sa.update(campaigns)
            .where(campaigns.c.id == campaign_id, campaigns.c.state.in_(list(sources)), *conditions)
            .values(**{"resume_at": None, **columns, "state": to})
        )
        if moved.rowcount == 0:
            return False
        record(connection, [Event("campaign", campaign_id, was, to, to_ms(now), detail=detail)])
        return True
