"""One lead file, from its bytes to its rows. Streaming: memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from campaigns.domain.cells import text_of
from campaigns.leads.batches import LeadBatch, PlainRows
from campaigns.leads.columns import ALSO_VARIABLES, listed, recognise_columns
from campaigns.leads.decoding import (
    LONGEST_LINE,
    check_encoding,
    check_lines,
    lines_of,
    recognise_encoding,
    split_lines,
    text_reader,
)
from campaigns.leads.layout import recognise_layout, unescaped, without_sep_line
from campaigns.leads.phones import PhoneProblem, normalise_phone
from campaigns.leads.records import Record, batches_of, records_of
from campaigns.leads.rows import (
    Held,
    LeadFileError,
    LeadRow,
    ReadOptions,
    RejectedRow,
    RowCode,
)
from campaigns.leads.values import (
    BadValue,
    call_after_of,
    flag_of,
    headers_of,
    object_of,
    priority_of,
    version_of,
)
from campaigns.leads.zones import Place, place_of, zone_named

_MOST_NOTES = 20
#: Bytes of a file from which on reading by columns is worth its beginning.
_LONG = 1 << 20


def open_lead_file(path: Path, options: ReadOptions | None = None) -> LeadFile:
    """Recognise a file's encoding, delimiter, header and columns.

    Raises LeadFileError, with a remedy, for a file or options that can't be used.
    """
    return LeadFile(path, options or ReadOptions())


class LeadFile:
    """A recognised lead file.

    Attributes:
        header: the column names, made unique.
        columns: FIELD -> the name of its column, for the fields the file has.
        encoding: Python codec name.
        delimiter: one character.
        size_bytes: of the file on disk.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._options = options
        self._region = _checked_region(options.region)
        self._option_zone = _checked_zone(options.timezone)
        if options.delimiter is not None and (len(options.delimiter) != 1 or options.delimiter in '"\r\n'):
            raise LeadFileError(
                f"{options.delimiter!r} can't delimit cells", "Give one character, such as ; or , or a tab"
            )
        phone_column = next((c for f, c in options.mapping.items() if f.strip().lower() == "phone"), None)
        warnings: list[str] = []
        try:
            self.size_bytes = path.stat().st_size
            check_lines(path)
            if options.encoding is not None:
                self.encoding = check_encoding(options.encoding)
            else:
                decoding = recognise_encoding(path)
                self.encoding = decoding.encoding
                warnings += [decoding.warning] if decoding.warning else []
            layout = recognise_layout(
                lines_of(path, self.encoding), options.delimiter, phone_column, self._region
            )
        except (OSError, UnicodeError) as error:
            raise _unreadable(path, error) from error
        columns = recognise_columns(layout.header, layout.sample, options.mapping, self._region)
        self.header = layout.header
        self.delimiter = layout.delimiter
        self.columns: Mapping[str, str] = {name: self.header[at] for name, at in columns.index.items()}
        self._header_line = layout.header_line
        self._skipped_columns = layout.skipped_columns
        self._index = dict(columns.index)
        fields = {at for name, at in columns.index.items() if name not in ALSO_VARIABLES}
        self._variables = tuple((name, at) for at, name in enumerate(self.header) if at not in fields)
        self._read_bytes = 0
        self._warnings = (*warnings, *layout.warnings, *columns.warnings)
        self._notes: dict[int | str, str] = {}
        self._required = tuple(self._position(name) for name in options.require)

    @property
    def share_read(self) -> float:
        """How much of the file `batches` has read, 0 to 1."""
        return min(1.0, self._read_bytes / self.size_bytes) if self.size_bytes else 1.0

    @property
    def variables(self) -> tuple[int, ...]:
        """Positions of the columns that are dynamic variables."""
        return tuple(at for _, at in self._variables)

    def _position(self, name: str) -> int:
        wanted = " ".join(name.split()).casefold()
        for at, column in enumerate(self.header):
            if column.casefold() == wanted:
                return at
        raise LeadFileError(
            f"The file has no column {name!r}, which is required", f"Its columns are {listed(self.header)}"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know though nothing is rejected for it, of the rows read so far."""
        return (*self._warnings, *self._notes.values())

    def rows(self) -> Iterator[LeadRow | RejectedRow]:
        """Every record that isn't blank, in order; each call reads the file from its beginning.

        Repeated numbers are *not* rejected here (see `SeenPhones` and `reject`).
        Raises LeadFileError if the file can no longer be read.
        """
        try:
            lines = without_sep_line(lines_of(self._path, self.encoding))
            width = len(self.header) + self._skipped_columns
            endless = _EndlessCell(width)
            for record in records_of(lines, self.delimiter, width):
                endless.watch(record.line, record.cells, record.broken)
                if record.line > self._header_line and any(map(str.strip, record.cells)):
                    yield self._row(record)
        except (OSError, UnicodeError) as error:
            raise _unreadable(self._path, error) from error

    def batches(self, by_columns: bool | None = None) -> Iterator[LeadBatch]:
        """The same rows, many at once.

        by_columns: read what is as usual by columns, many times faster, after a second to begin with; where it is not
        said, the size of the file decides.
        """
        if by_columns is None:
            by_columns = self.size_bytes > _LONG
        try:
            with text_reader(self._path, self.encoding) as read:
                yield from self._batches(read, by_columns)
        except (OSError, UnicodeError) as error:
            raise _unreadable(self._path, error) from error

    def _batches(self, read: Callable[[], str], by_columns: bool) -> Iterator[LeadBatch]:
        self._read_bytes = 0
        beginning = ["".join(without_sep_line(split_lines(read())))]
        width = len(self.header) + self._skipped_columns
        plain = PlainRows(
            self._region,
            self._index,
            self._option_zone,
            self._variables,
            self._required,
            usable=by_columns and not self._skipped_columns,
            note=self._note_unread,
        )

        def text() -> str:
            found = beginning.pop() if beginning else ""
            found = found or read()
            self._read_bytes += len(found)  # of ASCII; a hint, for a progress bar
            return found

        endless = _EndlessCell(width)
        for records in batches_of(text, self.delimiter, width):
            if records.broken or endless.open:
                for line in range(records.first, records.first + len(records)):
                    if endless.open or line in records.broken:
                        endless.watch(line, records.cells(line), line in records.broken)
            yield plain.batch(records, self._header_line, self._row)

    def reject(self, row: LeadRow, code: RowCode, first_line: int = 0) -> RejectedRow:
        """Turn away a row that reads well: `duplicate_in_file` (of `first_line`), `duplicate_in_campaign` or
        `suppressed`. Raises ValueError for a code that is decided while reading."""
        if code is RowCode.DUPLICATE_IN_FILE:
            message = (
                f"{row.phone} was in line {first_line} already, and that one was taken. Delete this row."
            )
        elif code is RowCode.DUPLICATE_IN_CAMPAIGN:
            message = (
                f"{row.phone} is a lead of this campaign already. Delete the row, or use another campaign "
                "to call again."
            )
        elif code is RowCode.SUPPRESSED:
            message = (
                f"{row.phone} is on the do-not-call list. Delete the row; only if it is listed by mistake, "
                "take it off the list and import again."
            )
        else:
            raise ValueError(f"{code} is decided while reading, not afterwards")
        return self._rejected(row.line, row.cells, code, message, "phone")

    def _row(self, record: Record) -> LeadRow | RejectedRow:
        line, cells, width = record.line, record.cells, len(self.header)
        if self._skipped_columns:
            cells = [unescaped(cell) for cell in cells[self._skipped_columns :]]
        if record.broken:
            return self._rejected(
                line,
                tuple(cells),
                RowCode.BAD_VALUE,
                "A quotation mark is opened and never closed, or the cell is too long to be one. "
                "Close or remove it in this line.",
            )
        if len(cells) > width:
            if any(map(str.strip, cells[width:])):
                return self._rejected(
                    line,
                    tuple(cells),
                    RowCode.ROW_TOO_LONG,
                    f"The row has {len(cells)} cells and the header {width}: a cell with a "
                    f"{self.delimiter!r} in it needs quotation marks. Quote it, or remove the extra cell.",
                )
            cells = cells[:width]
        short = width - len(cells)
        if short:
            cells = [*cells, *[""] * short]
        own = tuple(cells)
        phone_cell = cells[self._index["phone"]]
        phone = normalise_phone(phone_cell, self._region)
        if isinstance(phone, PhoneProblem):
            message = phone.message
            if short and phone.code is RowCode.MISSING_PHONE:
                message = f"The row ends before its phone number. {message}"
            return self._rejected(line, own, phone.code, message, "phone")
        if phone.note and len(self._notes) < _MOST_NOTES:
            self._notes[line] = f"line {line}: {phone.note}"
        place, held = self._place(phone.e164, cells)
        if phone.doubt:
            held = Held(RowCode.INVALID_PHONE, phone.doubt)
        at = "priority"  # the field being read, for the message if it can't be
        try:
            priority = priority_of(self._text(cells, at))
            at = "call_after"
            call_after: datetime | None = call_after_of(self._text(cells, at), place.zones, self._region)
            at = "ignore_e164"
            ignore_e164 = flag_of(self._text(cells, at))
            at = "metadata"
            metadata = object_of(self._text(cells, at), at)
            at = "sip_headers"
            sip_headers = headers_of(self._text(cells, at))
        except BadValue as problem:
            return self._rejected(line, own, RowCode.BAD_VALUE, str(problem), at)
        for position in self._required:
            if not text_of(cells[position]):
                message = f"{self.header[position]} is empty, and the agent needs it. Fill it in."
                return RejectedRow(
                    line, RowCode.BAD_VALUE, message, self.header[position], cells[position], own
                )
        return LeadRow(
            line=line,
            phone=phone.e164,
            extension=phone.extension,
            zones=place.zones,
            zone_source=place.source,
            jurisdictions=place.jurisdictions,
            priority=priority,
            call_after=call_after,
            external_id=self._text(cells, "external_id"),
            agent_id=self._text(cells, "agent_id"),
            agent_version=version_of(self._text(cells, "agent_version")),
            consent=self._text(cells, "consent"),
            zip=self._text(cells, "zip"),
            state=self._text(cells, "state"),
            variables={name: text_of(cells[at]) for name, at in self._variables},
            metadata=metadata,
            sip_headers=sip_headers,
            ignore_e164=ignore_e164,
            cells=own,
            held=held,
        )

    def _place(self, phone: str, cells: Sequence[str]) -> tuple[Place, Held | None]:
        """Where a lead is, and why it is held if nobody knows."""
        text = self._text
        written = text(cells, "timezone")
        place = place_of(
            phone,
            written,
            text(cells, "zip"),
            text(cells, "state"),
            text(cells, "country"),
            self._option_zone,
        )
        if place.unread:
            self._note_unread(place)
        return place, self._unplaced(place, phone, written)

    def _note_unread(self, place: Place) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes[place.unread] = (
                f"{place.unread} is no place that is known: for leads that say no more, the strictest rules of the "
                "whole country hold"
            )

    def _unplaced(self, place: Place, phone: str, written: str) -> Held | None:
        if place.zones:
            return None
        if written:
            message = (
                f"{written!r} in the column {self.columns['timezone']} is no time zone. "
                "Write an IANA name such as America/Chicago, or one of ET, CT, MT, PT, AKT, HT; import again."
            )
        else:
            message = (
                f"The time zone of {phone} is unknown: {place.problem}. Add a timezone column with an IANA name "
                "such as America/Chicago, or give one for the whole file."
            )
        return Held(RowCode.UNKNOWN_TIMEZONE, message)

    def _text(self, cells: Sequence[str], name: str) -> str:
        at = self._index.get(name)
        return "" if at is None else text_of(cells[at])

    def _rejected(
        self, line: int, cells: tuple[str, ...], code: RowCode, message: str, name: str = ""
    ) -> RejectedRow:
        at = self._index.get(name)
        if at is None:
            return RejectedRow(line, code, message, "", "", cells)
        return RejectedRow(line, code, message, self.header[at], cells[at], cells)


class _EndlessCell:
    """Megabytes after a quotation mark in which no row stands: a page pasted into a cell, and no list any more.

    Each of its lines would be a row to reject.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._line = 0
        self._chars = 0

    @property
    def open(self) -> bool:
        return self._line > 0

    def watch(self, line: int, cells: Sequence[str], broken: bool) -> None:
        """Raises LeadFileError once it is too much."""
        if broken and not self._line:
            self._line, self._chars = line, 0
        elif not self._line:
            return
        elif not broken and (len(cells) >= self._width > 1 or any(map(_has_a_number, cells))):
            self._line = 0
            return
        self._chars += 1 + sum(map(len, cells))
        if self._chars > LONGEST_LINE:
            raise LeadFileError(
                f"Line {self._line} opens a cell of more than {LONGEST_LINE >> 20} MB, which is no row of a list",
                "Remove that cell, or close its quotation mark; export the list again",
            )


def _has_a_number(cell: str) -> bool:
    return sum(map(str.isdigit, cell)) >= 7


def _checked_region(region: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS

    if region.upper() not in SUPPORTED_REGIONS:
        raise LeadFileError(
            f"{region!r} is no region of phone numbers", "Give two letters, such as US, CA or GB"
        )
    return region.upper()


def _checked_zone(name: str | None) -> str:
    if name is None:
        return ""
    zone = zone_named(name)
    if zone is None:
        raise LeadFileError(f"{name!r} is no time zone", "Give an IANA name such as America/Chicago")
    return zone


def _unreadable(path: Path, error: Exception) -> LeadFileError:
    if isinstance(error, OSError):
        return LeadFileError(
            f"{path} can't be read: {error.strerror or error}", "Check its path and permissions"
        )
    return LeadFileError(f"{path} can't be read in that encoding: {error}", "Leave it out, or correct it")
