"""What commands about lead files and the do-not-call list say."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from campaigns.cli.documents.base import Document


class ImportCounts(Document):
    """What became of the rows of a file: rows = accepted + rejected + duplicates + suppressed + held."""

    rows: int
    accepted: int
    rejected: int = Field(description="without the duplicates")
    duplicates: int = Field(description="in the file, or in the campaign before")
    suppressed: int = Field(description="on the do-not-call list")
    held: int = Field(description="read well, but wait for a person")
    by_code: dict[str, int] = Field(description="code of a reject or a hold -> rows")


class File(Document):
    """A file that was imported into a campaign."""

    id: int
    name: str
    bytes: int
    sha256: str
    imported_at: str
    imported_by: str
    moving: bool = Field(description="it is imported, and not all of its rows are there yet")
    format: dict[str, str] = Field(description="encoding, delimiter, region")
    mapping: dict[str, str] = Field(description="field -> column")
    counts: dict[str, Any] = Field(description="as of `import`; mended: rows that freed a held lead")


class DncImport(Document):
    """A do-not-call list that was read: rows = new + known + repeated + rejected."""

    source: str
    rows: int
    new: int
    known: int = Field(description="listed before")
    repeated: int = Field(description="in the file")
    rejected: int = Field(description="no number that exists")
    warnings: list[str]


class DncAdded(Document):
    """Numbers put on the list."""

    numbers: list[str]
    new: int


class DncEntry(Document):
    source: str
    reason: str
    added_at: str
    expires_at: str | None = Field(description="null: for good")


class DncRemoved(Document):
    """A number taken off the list."""

    phone: str
    was: DncEntry
    reason: str


class DncEvent(Document):
    at: str
    action: str = Field(description="added, removed, expired, or imported: a whole list")
    source: str
    reason: str
    by: str
    file: str | None
    numbers: int
    data_of: str | None = Field(description="the day the list's data is of")


class DncNumber(Document):
    """A number and the do-not-call list."""

    phone: str
    listed: bool
    entry: DncEntry | None
    history: list[DncEvent]


class DncLists(Document):
    """The do-not-call list as a whole."""

    sources: dict[str, int] = Field(description="source -> listed numbers")
    lists: list[DncEvent]
    warnings: list[str]


class DncExport(Document):
    """The list as a file."""

    numbers: int
    file: str
