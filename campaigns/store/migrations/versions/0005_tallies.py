"""What a status, a report and a list of campaigns need: tallies kept by triggers, successes, archived campaigns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER tally_lead_insert AFTER INSERT ON leads BEGIN INSERT INTO lead_tallies VALUES (NEW.campaign_id, NEW.state, 0, 1, (NEW.attempts > 0), NEW.contacted, NEW.succeeded) ON CONFLICT DO UPDATE SET leads = leads + excluded.leads, dialed = dialed + excluded.dialed, contacted = contacted + excluded.contacted, succeeded = succeeded + excluded.succeeded; END",
        "CREATE TRIGGER tally_lead_update AFTER UPDATE OF campaign_id, state, attempts, contacted, succeeded ON leads BEGIN INSERT INTO lead_tallies VALUES (OLD.campaign_id, OLD.state, 0, -1, -(OLD.attempts > 0), -OLD.contacted, -OLD.succeeded) ON CONFLICT DO UPDATE SET leads = leads + excluded.leads, dialed = dialed + excluded.dialed, contacted = contacted + excluded.contacted, succeeded = succeeded + excluded.succeeded; INSERT INTO lead_tallies VALUES (NEW.campaign_id, NEW.state, 0, 1, (NEW.attempts > 0), NEW.contacted, NEW.succeeded) ON CONFLICT DO UPDATE SET leads = leads + excluded.leads, dialed = dialed + excluded.dialed, contacted = contacted + excluded.contacted, succeeded = succeeded + excluded.succeeded; END",
        "CREATE TRIGGER tally_lead_delete AFTER DELETE ON leads BEGIN INSERT INTO lead_tallies VALUES (OLD.campaign_id, OLD.state, 0, -1, -(OLD.attempts > 0), -OLD.contacted, -OLD.succeeded) ON CONFLICT DO UPDATE SET leads = leads + excluded.leads, dialed = dialed + excluded.dialed, contacted = contacted + excluded.contacted, succeeded = succeeded + excluded.succeeded; END",
        "CREATE TRIGGER tally_attempt_insert AFTER INSERT ON attempts BEGIN INSERT INTO attempt_tallies VALUES (NEW.campaign_id, NEW.state, coalesce(NEW.outcome, ''), CASE WHEN NEW.state <> 'not_placed' THEN '' WHEN NEW.refusal_status > 0 THEN 'refused_' || NEW.refusal_status WHEN NEW.refusal NOT GLOB '*[^a-z_]*' THEN NEW.refusal ELSE 'not_sent' END, 0, 1, CAST(round(coalesce(NEW.cost_cents, 0) * 10000) AS INTEGER)) ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, cost = cost + excluded.cost; END",
        "CREATE TRIGGER tally_attempt_update AFTER UPDATE OF campaign_id, state, outcome, refusal, refusal_status, cost_cents ON attempts BEGIN INSERT INTO attempt_tallies VALUES (OLD.campaign_id, OLD.state, coalesce(OLD.outcome, ''), CASE WHEN OLD.state <> 'not_placed' THEN '' WHEN OLD.refusal_status > 0 THEN 'refused_' || OLD.refusal_status WHEN OLD.refusal NOT GLOB '*[^a-z_]*' THEN OLD.refusal ELSE 'not_sent' END, 0, -1, -CAST(round(coalesce(OLD.cost_cents, 0) * 10000) AS INTEGER)) ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, cost = cost + excluded.cost; INSERT INTO attempt_tallies VALUES (NEW.campaign_id, NEW.state, coalesce(NEW.outcome, ''), CASE WHEN NEW.state <> 'not_placed' THEN '' WHEN NEW.refusal_status > 0 THEN 'refused_' || NEW.refusal_status WHEN NEW.refusal NOT GLOB '*[^a-z_]*' THEN NEW.refusal ELSE 'not_sent' END, 0, 1, CAST(round(coalesce(NEW.cost_cents, 0) * 10000) AS INTEGER)) ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, cost = cost + excluded.cost; END",
        "CREATE TRIGGER tally_attempt_delete AFTER DELETE ON attempts BEGIN INSERT INTO attempt_tallies VALUES (OLD.campaign_id, OLD.state, coalesce(OLD.outcome, ''), CASE WHEN OLD.state <> 'not_placed' THEN '' WHEN OLD.refusal_status > 0 THEN 'refused_' || OLD.refusal_status WHEN OLD.refusal NOT GLOB '*[^a-z_]*' THEN OLD.refusal ELSE 'not_sent' END, 0, -1, -CAST(round(coalesce(OLD.cost_cents, 0) * 10000) AS INTEGER)) ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts, cost = cost + excluded.cost; END",
    ),
    "postgresql": (
        "CREATE FUNCTION tally_leads() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'INSERT' THEN INSERT INTO lead_tallies AS t (campaign_id, state, shard, leads, dialed, contacted, succeeded) SELECT campaign_id, state, pg_backend_pid(), sum(leads), sum(dialed), sum(contacted), sum(succeeded) FROM (SELECT campaign_id, state, 1 AS leads, (attempts > 0)::int AS dialed, contacted::int AS contacted, succeeded::int AS succeeded FROM added) AS rows GROUP BY campaign_id, state HAVING sum(leads) <> 0 OR sum(dialed) <> 0 OR sum(contacted) <> 0 OR sum(succeeded) <> 0 ON CONFLICT (campaign_id, state, shard) DO UPDATE SET leads = t.leads + excluded.leads, dialed = t.dialed + excluded.dialed, contacted = t.contacted + excluded.contacted, succeeded = t.succeeded + excluded.succeeded; ELSIF TG_OP = 'DELETE' THEN INSERT INTO lead_tallies AS t (campaign_id, state, shard, leads, dialed, contacted, succeeded) SELECT campaign_id, state, pg_backend_pid(), sum(leads), sum(dialed), sum(contacted), sum(succeeded) FROM (SELECT campaign_id, state, -1 AS leads, -(attempts > 0)::int AS dialed, -contacted::int AS contacted, -succeeded::int AS succeeded FROM removed) AS rows GROUP BY campaign_id, state HAVING sum(leads) <> 0 OR sum(dialed) <> 0 OR sum(contacted) <> 0 OR sum(succeeded) <> 0 ON CONFLICT (campaign_id, state, shard) DO UPDATE SET leads = t.leads + excluded.leads, dialed = t.dialed + excluded.dialed, contacted = t.contacted + excluded.contacted, succeeded = t.succeeded + excluded.succeeded; ELSE INSERT INTO lead_tallies AS t (campaign_id, state, shard, leads, dialed, contacted, succeeded) SELECT campaign_id, state, pg_backend_pid(), sum(leads), sum(dialed), sum(contacted), sum(succeeded) FROM (SELECT campaign_id, state, 1 AS leads, (attempts > 0)::int AS dialed, contacted::int AS contacted, succeeded::int AS succeeded FROM added UNION ALL SELECT campaign_id, state, -1 AS leads, -(attempts > 0)::int AS dialed, -contacted::int AS contacted, -succeeded::int AS succeeded FROM removed) AS rows GROUP BY campaign_id, state HAVING sum(leads) <> 0 OR sum(dialed) <> 0 OR sum(contacted) <> 0 OR sum(succeeded) <> 0 ON CONFLICT (campaign_id, state, shard) DO UPDATE SET leads = t.leads + excluded.leads, dialed = t.dialed + excluded.dialed, contacted = t.contacted + excluded.contacted, succeeded = t.succeeded + excluded.succeeded; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER tally_lead_insert AFTER INSERT ON leads REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_leads()",
        "CREATE TRIGGER tally_lead_update AFTER UPDATE ON leads REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_leads()",
        "CREATE TRIGGER tally_lead_delete AFTER DELETE ON leads REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tally_leads()",
        "CREATE FUNCTION tally_attempts() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TG_OP = 'INSERT' THEN INSERT INTO attempt_tallies AS t (campaign_id, state, outcome, cause, shard, attempts, cost) SELECT campaign_id, state, outcome, cause, pg_backend_pid(), sum(attempts), sum(cost) FROM (SELECT campaign_id, state, coalesce(outcome, '') AS outcome, CASE WHEN state <> 'not_placed' THEN '' WHEN refusal_status > 0 THEN 'refused_' || refusal_status WHEN refusal ~ '^[a-z_]+$' THEN refusal ELSE 'not_sent' END AS cause, 1 AS attempts, round(coalesce(cost_cents, 0) * 10000)::bigint AS cost FROM added) AS rows GROUP BY campaign_id, state, outcome, cause HAVING sum(attempts) <> 0 OR sum(cost) <> 0 ON CONFLICT (campaign_id, state, outcome, cause, shard) DO UPDATE SET attempts = t.attempts + excluded.attempts, cost = t.cost + excluded.cost; ELSIF TG_OP = 'DELETE' THEN INSERT INTO attempt_tallies AS t (campaign_id, state, outcome, cause, shard, attempts, cost) SELECT campaign_id, state, outcome, cause, pg_backend_pid(), sum(attempts), sum(cost) FROM (SELECT campaign_id, state, coalesce(outcome, '') AS outcome, CASE WHEN state <> 'not_placed' THEN '' WHEN refusal_status > 0 THEN 'refused_' || refusal_status WHEN refusal ~ '^[a-z_]+$' THEN refusal ELSE 'not_sent' END AS cause, -1 AS attempts, -round(coalesce(cost_cents, 0) * 10000)::bigint AS cost FROM removed) AS rows GROUP BY campaign_id, state, outcome, cause HAVING sum(attempts) <> 0 OR sum(cost) <> 0 ON CONFLICT (campaign_id, state, outcome, cause, shard) DO UPDATE SET attempts = t.attempts + excluded.attempts, cost = t.cost + excluded.cost; ELSE INSERT INTO attempt_tallies AS t (campaign_id, state, outcome, cause, shard, attempts, cost) SELECT campaign_id, state, outcome, cause, pg_backend_pid(), sum(attempts), sum(cost) FROM (SELECT campaign_id, state, coalesce(outcome, '') AS outcome, CASE WHEN state <> 'not_placed' THEN '' WHEN refusal_status > 0 THEN 'refused_' || refusal_status WHEN refusal ~ '^[a-z_]+$' THEN refusal ELSE 'not_sent' END AS cause, 1 AS attempts, round(coalesce(cost_cents, 0) * 10000)::bigint AS cost FROM added UNION ALL SELECT campaign_id, state, coalesce(outcome, '') AS outcome, CASE WHEN state <> 'not_placed' THEN '' WHEN refusal_status > 0 THEN 'refused_' || refusal_status WHEN refusal ~ '^[a-z_]+$' THEN refusal ELSE 'not_sent' END AS cause, -1 AS attempts, -round(coalesce(cost_cents, 0) * 10000)::bigint AS cost FROM removed) AS rows GROUP BY campaign_id, state, outcome, cause HAVING sum(attempts) <> 0 OR sum(cost) <> 0 ON CONFLICT (campaign_id, state, outcome, cause, shard) DO UPDATE SET attempts = t.attempts + excluded.attempts, cost = t.cost + excluded.cost; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER tally_attempt_insert AFTER INSERT ON attempts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_attempts()",
        "CREATE TRIGGER tally_attempt_update AFTER UPDATE ON attempts REFERENCING OLD TABLE AS removed NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_attempts()",
        "CREATE TRIGGER tally_attempt_delete AFTER DELETE ON attempts REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION tally_attempts()",
    ),
}


def upgrade() -> None:
    connection = op.get_bind()
    dialect = connection.dialect.name
    op.add_column("workspaces", sa.Column("clock", sa.Text(), nullable=True))
    op.add_column("campaigns", sa.Column("archived_at", sa.BigInteger(), nullable=True))
    op.add_column("attempts", sa.Column("successful", sa.Boolean(), nullable=True))
    for name in ("contacted", "succeeded"):
        op.add_column("leads", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_leads_held",
        "leads",
        ["campaign_id", "state", "hold_code", "hold_remedy"],
        unique=False,
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_table(
        "lead_tallies",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("leads", "dialed", "contacted", "succeeded")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "state", "shard", name=op.f("pk_lead_tallies")),
    )
    op.create_table(
        "attempt_tallies",
        sa.Column("campaign_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("attempts", "cost")),
        sa.PrimaryKeyConstraint(
            "campaign_id", "state", "outcome", "cause", "shard", name=op.f("pk_attempt_tallies")
        ),
    )
    op.execute(
        "UPDATE leads SET contacted = true WHERE id IN"
        " (SELECT lead_id FROM attempts WHERE outcome IN ('human', 'callback', 'do_not_call'))"
    )
    is_code = "refusal NOT GLOB '*[^a-z_]*'" if dialect == "sqlite" else "refusal ~ '^[a-z_]+$'"
    op.execute(
        "INSERT INTO lead_tallies SELECT campaign_id, state, 0, count(*),"
        " sum(CASE WHEN attempts > 0 THEN 1 ELSE 0 END), sum(CASE WHEN contacted THEN 1 ELSE 0 END), 0"
        " FROM leads GROUP BY campaign_id, state"
    )
    op.execute(
        "INSERT INTO attempt_tallies SELECT campaign_id, state, coalesce(outcome, ''),"
        " CASE WHEN state <> 'not_placed' THEN '' WHEN refusal_status > 0 THEN 'refused_' || refusal_status"
        f" WHEN {is_code} THEN refusal ELSE 'not_sent' END, 0, count(*),"
        " sum(CAST(round(coalesce(cost_cents, 0) * 10000) AS BIGINT)) FROM attempts GROUP BY 1, 2, 3, 4"
    )
    for statement in TRIGGERS[dialect]:
        # Not as SQLAlchemy's text, which reads `::` as a parameter.
        connection.exec_driver_sql(statement)
