"""Broken files: never a traceback, the accounts always add up, and both ways of reading agree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from campaigns.domain.entities import Campaign, CampaignOptions
from campaigns.leads import LeadFileError, LeadRow, ReadOptions, RejectedRow, open_lead_file
from campaigns.services.imports import import_file
from campaigns.store import Store

NOW = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)

HEADERS = st.sampled_from(
    [
        "phone,name,zip",
        "phone_number;first_name;timezone",
        "name\tphone\tmetadata",
        "a,b,c",
        "Phone|phone|x",
        "",
        "sep=;",
    ]
)
CELLS = st.one_of(
    st.sampled_from(
        ["2125550123", "(212) 555-0124", "+1 212 555 0125", "2125550126.0", "2.12555012E9", "212-555-CALL", "8005550123",  # noqa: E501
         "+442079460958", "", "Ann", "Lee, Ann", '"Lee, Ann"', '"open', 'a"b', '"two\nlines"', "'=1+1", "CT", "Mars",
         '{"a": 1}', "=cmd()", "\u202a2125550127", "x" * 300]
    ),
    st.text(max_size=8),
)  # fmt: skip
LINES = st.lists(
    st.tuples(st.sampled_from([",", ";", "\t", "|"]), st.lists(CELLS, max_size=5)).map(
        lambda x: x[0].join(x[1])
    ),
    max_size=12,
)
DAMAGE = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 6),
        st.sampled_from(
            [
                b'"',
                b"\n",
                b"\r",
                b"\0",
                b"\x1a",
                b"\xff",
                b"\xe9",
                b",",
                b'""',
                b"\xef\xbb\xbf",
                b"\xff\xfe",
                b"",
            ]
        ),
    ),
    max_size=4,
)


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    """A list as somebody might have made it, and then what a broken export does to it."""
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join([draw(HEADERS), *draw(LINES)])
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"]))
    content = text.encode(encoding, errors="replace")
    for place, gone, put in draw(DAMAGE):
        at = int(place * (len(content) + 1))
        content = content[:at] + put + content[at + gone :]
    return content


class Desk(NamedTuple):
    """Where the files are read, one after the other: a folder for each would take longer than reading."""

    store: Store
    campaign: Campaign
    path: Path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("fuzz")
    store = Store.open(f"sqlite:///{folder / 'fuzz.db'}")
    campaign = store.campaigns.create("fuzz", "acme", CampaignOptions(), NOW)
    assert campaign is not None
    yield Desk(store, campaign, folder / "list.csv")
    store.close()


def survives(desk: Desk, content: bytes, mapping: bool) -> None:
    desk.path.write_bytes(content)
    refusal: LeadFileError | None = None
    try:
        file = open_lead_file(desk.path, ReadOptions(mapping={"phone": "phone"} if mapping else {}))
        rows = list(file.rows())
        batches = list(file.batches(by_columns=True))
    except LeadFileError as error:
        refusal = error
    if refusal is not None:
        assert refusal.message
        assert refusal.remedy
    else:
        assert all(isinstance(row, LeadRow | RejectedRow) for row in rows)
        assert [batch.row(at) for batch in batches for at in range(len(batch.lines))] == rows
    try:
        summary = import_file(desk.store, desk.campaign, desk.path, NOW, "fuzz", dry_run=True)
    except LeadFileError:
        return
    counts = summary.counts()
    accounts = ("accepted", "rejected", "duplicates", "suppressed", "held")
    assert counts["rows"] == sum(int(str(counts[name])) for name in accounts)
    assert sum(summary.by_code.values()) == summary.rows - summary.accepted


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(broken_files(), st.booleans())
def test_broken_files(desk: Desk, content: bytes, mapping: bool) -> None:
    survives(desk, content, mapping)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(broken_files(), st.booleans())
def test_ten_thousand_broken_files(desk: Desk, content: bytes, mapping: bool) -> None:
    survives(desk, content, mapping)
