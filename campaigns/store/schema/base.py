"""What all tables are made with: kinds of columns, and conditions built from `campaigns.domain.states`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@sa.event.listens_for(metadata, "before_create")
def _partial_on_postgresql_too(_: sa.MetaData, connection: sa.Connection, **__: Any) -> None:
    """The condition of a partial index is said once, for SQLite: naming PostgreSQL's would import its dialect."""
    if connection.dialect.name == "postgresql":
        for index in (index for table in metadata.tables.values() for index in table.indexes):
            index.dialect_kwargs["postgresql_where"] = index.dialect_options["sqlite"]["where"]


def listed(values: Iterable[StrEnum]) -> str:
    """SQL list of state names, in a stable order: `'claimed', 'dialing'`."""
    return ", ".join(f"'{value}'" for value in sorted(values))


def one_of(column: str, values: Iterable[StrEnum]) -> str:
    """The same as `column IN (...)`. SQLite builds a table for a long list again for every row that is inserted."""
    return " OR ".join(f"{column} = '{value}'" for value in values)


class E164(sa.TypeDecorator[str]):
    """A phone number: `+12125550123` in Python, 12125550123 in the database, where indexes of it stay small."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        # SQLite keeps a table sorted by its key, without another index, only if that is INTEGER.
        return dialect.type_descriptor(sa.Integer() if dialect.name == "sqlite" else sa.BigInteger())

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else f"+{value}"


IS_E164 = "phone BETWEEN 100 AND 999999999999999"


def ms(name: str, nullable: bool = True) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


# SQLite numbers rows by itself only for INTEGER keys; PostgreSQL should count in 64 bits.
ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
