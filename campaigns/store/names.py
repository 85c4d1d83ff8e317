"""Names for the shell's completion, read in passing: nothing is made, migrated, locked or waited for."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

#: Names offered at most, and real seconds until none are.
_MOST, _PATIENCE = 200, 1
_NAMES = f"SELECT name FROM campaigns WHERE archived_at IS NULL ORDER BY created_at DESC LIMIT {_MOST}"


def campaign_names(url: str) -> Sequence[str]:
    """The campaigns that are not archived, newest first; none where the database cannot be read just now."""
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite":
            # Not through `Database`, which makes one where there is none.
            where = f"{Path(str(parsed.database)).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(where, uri=True, timeout=_PATIENCE)) as raw:
                return [name for (name,) in raw.execute(_NAMES)]
        patience = {"connect_timeout": _PATIENCE, "options": f"-c statement_timeout={_PATIENCE * 1000}"}
        engine = sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool, connect_args=patience
        )
        with engine.connect() as connection:
            return list(connection.exec_driver_sql(_NAMES).scalars())
    except (sqlite3.Error, sa.exc.SQLAlchemyError, OSError):
        return []
