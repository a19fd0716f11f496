"""Reads a CSV, JSON or Parquet file, or a folder of them, into one table that still knows where each row stood.

Cells of CSV and JSON are kept as text here; `kinds` decides what they mean. Row 1 of a CSV file is the header, its
blank lines count as rows; row 1 of a JSON file is its first record.
"""

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from trainers import records
from trainers.protocol import DataProblem

MAX_BYTES = 4 * 1024**3  # of one CSV file: it is held in memory
MAX_COLUMNS = 20_000
MAX_RAGGED_SHARE = 0.1  # more rows of a wrong width than this, and the file is not understood
DELIMITERS = (",", ";", "\t", "|")
SNIFF_CHARACTERS = 64 * 1024
ROWS_NAMED = 10  # row numbers that a message lists
CSV_SUFFIXES = (".csv", ".tsv", ".txt", ".data")
PARQUET_SUFFIXES = (".parquet", ".pq")
# A .json file in a folder of tables is more often a description of them than one of them.
FOLDER_SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES + records.LINES_SUFFIXES
NOT_TABLES = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"SQLite format 3": "an SQLite database",
}

Note = tuple[str, str]  # (level, message) for the log


@dataclass
class Table:
    """Rows of one or more files. `row` and `file` (n,) say where each row came from; `files` are the names."""

    frame: pl.DataFrame
    row: npt.NDArray[np.int64]
    file: npt.NDArray[np.int32]
    files: list[str]
    notes: list[Note] = field(default_factory=list)

    def rows_text(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> str:
        """ "rows 5 and 17", as numbered in the file (which is named when there are several)."""
        return rows_text([self.place(position) for position in positions[:ROWS_NAMED]], len(positions))

    def row_numbers(self, positions: Sequence[int] | npt.NDArray[np.int64]) -> list[int]:
        return [int(self.row[position]) for position in positions[:ROWS_NAMED]]

    def place(self, position: int) -> str:
        number = str(int(self.row[position]))
        return number if len(self.files) == 1 else f"{number} of {self.files[int(self.file[position])]}"

    def keep(self, mask: npt.NDArray[np.bool_]) -> "Table":
        """The table with only the rows where the mask (n,) is true."""
        return Table(self.frame.filter(pl.Series(mask)), self.row[mask], self.file[mask], self.files, self.notes)


def rows_text(places: Sequence[str], total: int) -> str:
    """ "row 5", "rows 5, 17", "rows 5, 17, … (240 in all)"."""
    listed = ", ".join(places)
    if total == 1:
        return f"row {listed}"
    return f"rows {listed}" if total <= len(places) else f"rows {listed}, … ({total} in all)"


def read_table(path: Path) -> Table:
    """Read a file, or all CSV, JSON lines and Parquet files right in a folder. Raises DataProblem."""
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise DataProblem(f"There is no file {path.name}.", details={"file": path.name})
    return _read_file(path)


def _read_folder(folder: Path) -> Table:
    # Links are left out: one could lead to a file that is none of the caller's.
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in FOLDER_SUFFIXES and path.is_file() and not path.is_symlink()
    )
    if not paths:
        raise DataProblem(
            f"The folder {folder.name} holds no CSV, JSON lines or Parquet file.", details={"file": folder.name}
        )
    tables = [_read_file(path) for path in paths]
    first = tables[0].frame.columns
    for path, table in zip(paths, tables, strict=True):
        if set(table.frame.columns) != set(first):
            odd = sorted(set(table.frame.columns) ^ set(first))[0]
            raise DataProblem(
                f'The files of the folder differ: column "{odd}" is not in both {paths[0].name} and {path.name}.',
                details={"file": path.name, "column": odd},
            )
    frames = [table.frame.select(first) for table in tables]
    if any(frame.schema != frames[0].schema for frame in frames):
        frames = [frame.select(pl.all().cast(pl.String)) for frame in frames]
    return Table(
        frame=pl.concat(frames),
        row=np.concatenate([table.row for table in tables]),
        file=np.concatenate([np.full(len(table.row), i, np.int32) for i, table in enumerate(tables)]),
        files=[path.name for path in paths],
        notes=[note for table in tables for note in table.notes]
        + [("INFO", f"read {len(paths)} files: {', '.join(path.name for path in paths[:ROWS_NAMED])}")],
    )


def _read_file(path: Path) -> Table:
    size = path.stat().st_size
    if size == 0:
        raise DataProblem(f"{path.name} is empty.", details={"file": path.name})
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PAR1"):
        return _read_parquet(path)
    for magic, what in NOT_TABLES.items():
        if head.startswith(magic):
            raise DataProblem(
                f"{path.name} is {what}; a CSV, JSON or Parquet file is needed.", details={"file": path.name}
            )
    if path.suffix.lower() in PARQUET_SUFFIXES:
        raise DataProblem(f"{path.name} is not a Parquet file.", details={"file": path.name})
    if size > MAX_BYTES:
        raise DataProblem(
            f"{path.name} has {size} bytes; a text file may have {MAX_BYTES}. Use Parquet, or a folder of files.",
            details={"file": path.name},
        )
    if _is_json(path, head):
        return _parse_json(path.read_bytes(), path.name)
    return parse_csv(path.read_bytes(), path.name)


def _is_json(path: Path, head: bytes) -> bool:
    suffix = path.suffix.lower()
    looks_so = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")
    return suffix in records.SUFFIXES or (suffix not in CSV_SUFFIXES and looks_so)


def _parse_json(content: bytes, name: str) -> Table:
    notes: list[Note] = []
    frame, nested = records.read_frame(_decode(content, name, notes), name)
    _warn_of_nested(nested, notes)
    frame.columns = clean_names(frame.columns, notes)
    rows = np.arange(1, frame.height + 1, dtype=np.int64)
    return Table(frame, rows, np.zeros(frame.height, np.int32), [name], notes)


def _warn_of_nested(names: Sequence[str], notes: list[Note]) -> None:
    if names:
        notes.append(("WARN", f"left out columns that hold no plain values: {', '.join(names[:ROWS_NAMED])}"))


def _read_parquet(path: Path) -> Table:
    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise DataProblem(
            f"{path.name} is a damaged Parquet file ({type(error).__name__}).", details={"file": path.name}
        ) from error
    notes: list[Note] = []
    nested = [
        name
        for name, dtype in frame.schema.items()
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration, pl.Null)
    ]
    _warn_of_nested(nested, notes)
    frame = frame.drop(nested)
    if not frame.width or not frame.height:
        raise DataProblem(f"{path.name} holds no rows.", details={"file": path.name})
    frame = frame.with_columns(
        pl.col(pl.Categorical, pl.Enum, pl.Time, pl.Boolean).cast(pl.String),
        pl.col(pl.Decimal).cast(pl.Float64),
        pl.col(pl.Date).dt.strftime("%Y-%m-%d"),
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S%.f"),
    )
    names = clean_names(frame.columns, notes)
    frame.columns = names
    rows = np.arange(2, frame.height + 2, dtype=np.int64)  # as if it had a header row, like a CSV
    return Table(frame, rows, np.zeros(frame.height, np.int32), [path.name], notes)


def parse_csv(content: bytes, name: str) -> Table:
    """The table in a CSV file's bytes; every column is text. Raises DataProblem, naming the row where it can."""
    notes: list[Note] = []
    text = _decode(content, name, notes)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text or text.isspace():
        raise DataProblem(f"{name} is empty.", details={"file": name})
    delimiter = sniff_delimiter(text)
    if delimiter != ",":
        notes.append(("INFO", f"{name}: values are separated by {'tabs' if delimiter == chr(9) else delimiter}"))
    content = text.encode("utf-8")
    del text
    ends, widths = _records(content, delimiter, name)
    starts = np.concatenate(([0], ends[:-1] + 1))
    blank = _blank_records(content, starts, ends)
    filled = np.flatnonzero(~blank)
    header = int(filled[0])
    names = next(csv.reader([content[starts[header] : ends[header]].decode("utf-8")], delimiter=delimiter), [])
    if len(names) > MAX_COLUMNS:
        raise DataProblem(f"{name} has {len(names)} columns; {MAX_COLUMNS} are allowed.", details={"file": name})
    body = filled[1:]
    if not len(body):
        raise DataProblem(f"{name} has a header and no rows.", details={"file": name})
    ragged = body[widths[body] != len(names)]
    if len(ragged):
        _report_ragged(ragged, widths, len(names), len(body), name, notes)
        body = body[widths[body] == len(names)]
    names = clean_names(names, notes)
    _warn_of_missing_header(names, name, notes)
    if len(body) == len(ends) - header - 1:
        rest = content[ends[header] + 1 :]
    else:
        rest = b"".join(content[starts[i] : ends[i] + 1] for i in body)
    try:
        frame = pl.read_csv(
            io.BytesIO(rest),
            has_header=False,
            schema=dict.fromkeys(names, pl.String),
            separator=delimiter,
            quote_char='"',
            infer_schema=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataProblem(f"{name} cannot be read as CSV: {str(error)[:200]}", details={"file": name}) from error
    if frame.height != len(body):
        raise DataProblem(f"{name} cannot be read as CSV: its quotes are not closed.", details={"file": name})
    rows = body.astype(np.int64) + 1
    return Table(frame, rows, np.zeros(len(rows), np.int32), [name], notes)


def sniff_delimiter(text: str) -> str:
    """The delimiter that splits the first records into the most columns of one width; a comma when none does."""
    sample = text[:SNIFF_CHARACTERS]
    if len(text) > SNIFF_CHARACTERS:
        sample = sample[: sample.rfind("\n") + 1] or sample
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            widths = [len(record) for record in csv.reader(io.StringIO(sample), delimiter=delimiter) if record][:100]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def clean_names(names: Sequence[str], notes: list[Note]) -> list[str]:
    """Column names that are stripped, not empty, and different from each other; says in `notes` what it changed."""
    cleaned: list[str] = []
    taken: set[str] = set()
    for position, original in enumerate(names, start=1):
        name = base = " ".join(original.split()) or f"column_{position}"
        if not original.strip():
            notes.append(("WARN", f"column {position} has no name; it is called {name}"))
        copy = 2
        while name in taken:
            name = f"{base}_{copy}"
            copy += 1
        if name != base:
            notes.append(("WARN", f'column {position} has the name "{base}" again; it is called "{name}"'))
        taken.add(name)
        cleaned.append(name)
    return cleaned


def _decode(content: bytes, name: str, notes: list[Note]) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataProblem(f"{name} begins as UTF-16 text and is damaged.", details={"file": name}) from error
    if b"\0" in content:
        row = content[: content.index(b"\0")].count(b"\n") + 1
        raise DataProblem(
            f"{name} is not a text table: there is a NUL byte in row {row}.", details={"file": name, "row": row}
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        notes.append(("WARN", f"{name} is not UTF-8 (row {row}); it is read as Latin-1 (Windows-1252)"))
        return content.decode("cp1252", errors="replace")


def _records(content: bytes, delimiter: str, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """End offset (its newline, or the end of the file) and number of values of each record.

    Newlines and delimiters between quotes do not count. Works on the positions of the few bytes that matter: a loop, or
    running sums over every byte, take seconds on a large file.
    """
    data = np.frombuffer(content, np.uint8)
    newlines = np.flatnonzero(data == ord("\n"))
    delimiters = np.flatnonzero(data == ord(delimiter))
    quotes = np.flatnonzero(data == ord('"'))
    if len(quotes):
        bad = _first_bad_quote(data, quotes, ord(delimiter))
        if bad is not None:
            row = int(np.searchsorted(newlines, bad)) + 1
            raise DataProblem(
                f'{name}, row {row}: a quote (") stands inside a value or is never closed. Enclose such a value in '
                "quotes and double the quotes in it.",
                details={"file": name, "row": row},
            )
        # Inside quotes where an odd number of them came before; a doubled quote leaves and enters again.
        newlines = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
        delimiters = delimiters[np.searchsorted(quotes, delimiters) % 2 == 0]
    ends = newlines if len(newlines) and newlines[-1] == len(data) - 1 else np.append(newlines, len(data))
    return ends, np.diff(np.searchsorted(delimiters, ends), prepend=0) + 1


def _first_bad_quote(data: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64], delimiter: int) -> int | None:
    """Offset of the first quote that neither encloses a value nor is doubled inside one; None when all is well."""
    edge = np.zeros(256, bool)
    edge[[delimiter, ord("\n"), ord('"')]] = True
    opens, closes = quotes[::2], quotes[1::2]
    bad_opens = opens[(opens > 0) & ~edge[data[np.maximum(opens - 1, 0)]]]
    last = len(data) - 1
    bad_closes = closes[(closes < last) & ~edge[data[np.minimum(closes + 1, last)]]]
    unclosed = quotes[-1:] if len(quotes) % 2 else quotes[:0]
    bad = np.concatenate((bad_opens, bad_closes, unclosed))
    return int(bad.min()) if len(bad) else None


def _blank_records(content: bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which records hold nothing but white space. Only short ones are looked at in Python."""
    blank = ends - starts == 0
    for i in np.flatnonzero((ends - starts > 0) & (ends - starts < 64) & _starts_white(content, starts)):
        blank[i] = not content[starts[i] : ends[i]].strip(b" \n")
    return blank


def _starts_white(content: bytes, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    data = np.frombuffer(content, np.uint8)
    return np.asarray(data[np.minimum(starts, len(data) - 1)] == ord(" "))


def _report_ragged(
    ragged: npt.NDArray[np.int64],
    widths: npt.NDArray[np.int64],
    expected: int,
    total: int,
    name: str,
    notes: list[Note],
) -> None:
    first = int(ragged[0])
    fact = f"{name}, row {first + 1}: {int(widths[first])} values where the header has {expected}"
    if len(ragged) > max(MAX_RAGGED_SHARE * total, 1):
        raise DataProblem(
            f"{fact}; {len(ragged)} of {total} rows are like that.",
            details={"file": name, "row": first + 1, "rows": [int(i) + 1 for i in ragged[:ROWS_NAMED]]},
        )
    listed = rows_text([str(int(i) + 1) for i in ragged[:ROWS_NAMED]], len(ragged))
    notes.append(("WARN", f"{fact}. Left out: {listed}"))


def _warn_of_missing_header(names: Sequence[str], name: str, notes: list[Note]) -> None:
    def is_number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    if sum(is_number(text) for text in names) > len(names) / 2:
        notes.append(
            ("WARN", f"{name}: row 1 is taken as the header, and most of its names are numbers. Has it a header?")
        )
