"""Reads CSV, JSON, Parquet and plain text files batch by batch, so that a file larger than memory can be looked at.

Names of columns, the delimiter and what a ragged row means are the training library's own (`trainers.tabular.read`):
what an upload shows is what a training will see.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from automl_site.errors import DatasetError
from trainers import records
from trainers.protocol import DataProblem
from trainers.tabular.read import (
    MAX_COLUMNS,
    MAX_RAGGED_SHARE,
    NOT_TABLES,
    PARQUET_SUFFIXES,
    ROWS_NAMED,
    Note,
    clean_names,
    rows_text,
    sniff_delimiter,
)

BLOCK_BYTES = 8 * 1024**2  # of a CSV file, at a time; a single row must fit
HEAD_BYTES = 1024**2  # looked at for the delimiter and the header
BATCH_VALUES = 4_000_000  # of a Parquet file, at a time, over all columns
MAX_BATCH_ROWS = 65_536
MAX_PARQUET_ROWS = 10**9
MAX_LINE_CHARACTERS = 16 * 1024**2  # of a text file
MAX_ROW_GROUP_BYTES = 8 * 1024**3  # uncompressed: a file of kilobytes can claim terabytes
CSV_SUFFIXES = (".csv", ".tsv")
TEXT_SUFFIXES = (".txt", ".text", ".md", ".rst")
JSON_FORMATS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
PARQUET_MAGIC, ENCRYPTED_PARQUET_MAGIC = b"PAR1", b"PARE"


@dataclass(frozen=True)
class CsvDialect:
    """How a CSV file is written. `header_record` is the header's place among all records, counted from 1."""

    encoding: str
    delimiter: str
    header_record: int
    names: list[str]


@dataclass
class Ragged:
    """Rows whose width is not the header's: how many, and the first of them as (row, width). Row 1 is the header."""

    count: int = 0
    first: list[tuple[int, int]] = field(default_factory=list)


def detect_format(path: Path, *, filename: str, wanted: str | None) -> str:
    """ "csv", "json", "jsonl", "parquet" or "txt", by content, suffix and what the caller says.

    Raises DatasetError where they disagree, or the file is none of these.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        raise _error(filename, "is empty.")
    suffix = Path(filename).suffix.lower()
    if head.startswith(ENCRYPTED_PARQUET_MAGIC):
        raise _error(filename, "is an encrypted Parquet file: upload it decrypted.")
    for magic, what in NOT_TABLES.items():
        if head.startswith(magic):
            raise _error(filename, f"is {what}; upload the table in it as CSV, JSON or Parquet.")
    if head.startswith(PARQUET_MAGIC):
        if wanted not in (None, "parquet"):
            raise _error(filename, f'holds Parquet, not {wanted}: send format "parquet", or none.')
        if wanted is None and suffix in (*CSV_SUFFIXES, *TEXT_SUFFIXES, *JSON_FORMATS):
            raise _error(filename, f'holds Parquet, its name says {suffix}: rename it, or send format "parquet".')
        return "parquet"
    if wanted == "parquet" or (wanted is None and suffix in PARQUET_SUFFIXES):
        raise _error(filename, "is not a Parquet file (it does not begin with PAR1); is it whole?")
    if wanted == "txt" or (wanted is None and suffix in TEXT_SUFFIXES):
        return "txt"
    if wanted is not None:
        return wanted
    if suffix in JSON_FORMATS:
        return JSON_FORMATS[suffix]
    begin = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return "csv" if suffix in CSV_SUFFIXES else {b"{": "jsonl", b"[": "json"}.get(begin, "csv")


# --- CSV -----------------------------------------------------------------------------------------------------------


def csv_dialect(path: Path, *, filename: str) -> tuple[CsvDialect, list[Note]]:
    """Encoding (of the whole file), delimiter and header. Raises DatasetError."""
    notes: list[Note] = []
    encoding = encoding_of(path, filename=filename, notes=notes)
    with _Utf8File(path, encoding, filename) as file:
        head = file.read(HEAD_BYTES).decode("utf-8", "ignore").replace("\r\n", "\n").replace("\r", "\n")
    if not head.strip():
        raise _error(filename, "is empty.")
    if len(CONTROL_CHARACTERS.findall(head)) > 0.01 * len(head):
        raise _error(filename, "is not a text table: it is full of control characters.")
    delimiter = sniff_delimiter(head)
    try:
        records = enumerate(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), start=1)
        # There is one: the head is not all white space.
        header, names = next((place, names) for place, names in records if "".join(names).strip() or len(names) > 1)
    except csv.Error as error:
        raise _error(filename, f"has a header that cannot be read: {error}.") from error
    if len(names) > MAX_COLUMNS:
        raise _error(filename, f"has {len(names)} columns; {MAX_COLUMNS} are allowed.")
    return CsvDialect(encoding, delimiter, header, clean_names(names, notes)), notes


def csv_batches(
    path: Path, dialect: CsvDialect, *, filename: str, ragged: Ragged | None = None, block_bytes: int = BLOCK_BYTES
) -> Iterator[pa.RecordBatch]:
    """The rows as batches of text columns. Blank rows are left out, ragged ones too (counted). Raises DatasetError."""
    found = ragged if ragged is not None else Ragged()

    def on_invalid_row(row: Any) -> str:
        if row.text.strip():
            found.count += 1
            if len(found.first) < ROWS_NAMED:
                found.first.append((row.number, row.actual_columns))
        return "skip"

    with _Utf8File(path, dialect.encoding, filename) as file:
        try:
            batches = pa_csv.open_csv(
                file,
                read_options=pa_csv.ReadOptions(
                    use_threads=False,  # rows are numbered only then
                    block_size=block_bytes,
                    column_names=dialect.names,
                    skip_rows_after_names=dialect.header_record,
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=False,  # they count as rows in messages
                    invalid_row_handler=on_invalid_row,
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(dialect.names, pa.string()), strings_can_be_null=False
                ),
            )
            for batch in batches:
                yield _without_blank_rows(batch)
        except pa.ArrowInvalid as error:
            if "straddling" in str(error):
                raise _error(
                    filename, f'has a quote (") that is never closed, or a row of more than {block_bytes} bytes.'
                ) from error
            raise _error(filename, f"cannot be read as CSV: {str(error)[:200]}") from error


def line_batches(path: Path, *, encoding: str, filename: str) -> Iterator[pa.Array]:
    """The lines of a text file that are not blank, some megabytes at a time. Raises DatasetError."""
    rest, line = "", 1
    with path.open(encoding=encoding, errors="strict" if encoding == "utf-16" else "replace", newline=None) as file:
        while True:
            try:
                block = file.read(BLOCK_BYTES)
            except UnicodeDecodeError as error:
                raise _error(filename, "begins as UTF-16 text and is damaged.") from error
            if "\0" in block:
                raise _error(filename, f"is no text: there is a NUL byte near line {line}.")
            *lines, rest = (rest + block).split("\n")
            if len(rest) > MAX_LINE_CHARACTERS:
                raise _error(filename, f"has a line of more than {MAX_LINE_CHARACTERS} characters.")
            line += len(lines)
            if not block:
                lines.append(rest)
            if filled := [each for each in lines if each.strip()]:
                yield pa.array(filled, pa.string())
            if not block:
                return


def json_batches(
    path: Path, *, encoding: str, filename: str, rows: int = records.BATCH_ROWS
) -> Iterator[dict[str, list[Any]]]:
    """The records of a JSON file as columns of values, `rows` of them at a time. Raises DatasetError.

    Every batch has the columns of those before it, in the order in which they first come.
    """
    with path.open(encoding=encoding, errors="strict" if encoding == "utf-16" else "replace") as file:
        try:
            yield from records.batches(records.read_records(file, filename), filename, rows=rows)
        except DataProblem as problem:
            raise DatasetError(problem.message, details=problem.details) from problem


def check_ragged(ragged: Ragged, *, rows: int, width: int, filename: str) -> list[Note]:
    """A few ragged rows are a warning; many mean that the file is not understood. Raises DatasetError, naming rows."""
    if not ragged.count:
        return []
    first_row, first_width = ragged.first[0]
    fact = f"row {first_row}: {first_width} values where the header has {width}"
    if ragged.count > max(MAX_RAGGED_SHARE * (rows + ragged.count), 1) or not rows:
        raise DatasetError(
            f"{filename}, {fact}; {ragged.count} of {rows + ragged.count} rows are like that.",
            details={"file": filename, "row": first_row, "rows": [row for row, _ in ragged.first]},
        )
    listed = rows_text([str(row) for row, _ in ragged.first], ragged.count)
    return [("WARN", f"{fact}. Left out: {listed}")]


def _without_blank_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    filled: Any = None
    for column in batch.columns:
        here = pc.not_equal(pc.utf8_trim_whitespace(column), "")
        filled = here if filled is None else pc.or_(filled, here)
        if pc.all(filled).as_py():
            return batch
    return batch.filter(filled)


def encoding_of(path: Path, *, filename: str, notes: list[Note]) -> str:
    """The encoding of the whole file, by its mark, else by whether it is UTF-8; a guess is added to the notes."""
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        row = 1
        while True:
            chunk = file.read(HEAD_BYTES)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                row += error.object[: error.start].count(b"\n")
                notes.append(("WARN", f"{filename} is not UTF-8 (row {row}); it is read as Latin-1 (Windows-1252)"))
                return "cp1252"
            if not chunk:
                return "utf-8-sig"
            row += chunk.count(b"\n")


class _Utf8File(io.RawIOBase):
    """A text file in any encoding, read as UTF-8 without a mark at its start, and with a newline at its end."""

    def __init__(self, path: Path, encoding: str, filename: str) -> None:
        self._file: BinaryIO = path.open("rb")
        self._decoder = codecs.getincrementaldecoder(encoding)("strict" if encoding == "utf-16" else "replace")
        self._filename = filename
        self._buffer = bytearray()
        self._newlines = 0
        self._quotes = 0
        self._last_quote_row = 0
        self._last = ""
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._ended and (size < 0 or len(self._buffer) < size):
            self._fill()
        end = len(self._buffer) if size < 0 else size
        part = bytes(self._buffer[:end])
        del self._buffer[:end]
        return part

    def _fill(self) -> None:
        raw = self._file.read(HEAD_BYTES)
        try:
            text = self._decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise _error(self._filename, "begins as UTF-16 text and is damaged.") from error
        if "\0" in text:
            row = self._newlines + text[: text.index("\0")].count("\n") + 1
            raise DatasetError(
                f"{self._filename} is not a text table: there is a NUL byte in row {row}.",
                details={"file": self._filename, "row": row},
            )
        if '"' in text:
            self._quotes += text.count('"')
            self._last_quote_row = self._newlines + text[: text.rindex('"')].count("\n") + 1
        self._newlines += text.count("\n")
        self._last = text[-1:] or self._last
        if not raw:
            if self._quotes % 2:
                raise DatasetError(
                    f'{self._filename}, near line {self._last_quote_row}: a quote (") stands inside a value or is '
                    "never closed. Enclose such a value in quotes and double the quotes in it.",
                    details={"file": self._filename, "line": self._last_quote_row},
                )
            self._ended = True
            text = "" if self._last in ("\n", "\r", "") else "\n"
        self._buffer += text.encode("utf-8")

    def close(self) -> None:
        self._file.close()
        super().close()


# --- Parquet -------------------------------------------------------------------------------------------------------


def open_parquet(path: Path, *, filename: str) -> pq.ParquetFile:
    """The file, its text columns read as dictionaries: a long text that repeats is held once, however often it does.

    Raises DatasetError for damaged and encrypted files, and for those that claim more than may be decoded.
    """
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
        text = [name for name, kind in zip(schema.names, schema.types, strict=True) if is_text(kind)]
        if text:
            file.close()
            file = pq.ParquetFile(path, read_dictionary=text)
    except (pa.ArrowException, OSError, ValueError) as error:
        if "encrypt" in str(error).lower():
            raise _error(filename, "is an encrypted Parquet file: upload it decrypted.") from error
        raise _error(filename, "is a damaged Parquet file; is it whole?") from error
    metadata = file.metadata
    if metadata.num_columns > MAX_COLUMNS:
        raise _error(filename, f"has {metadata.num_columns} columns; {MAX_COLUMNS} are allowed.")
    if metadata.num_rows > MAX_PARQUET_ROWS:
        raise _error(filename, f"claims {metadata.num_rows} rows; {MAX_PARQUET_ROWS} are allowed.")
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).total_byte_size
        if size > MAX_ROW_GROUP_BYTES:
            raise _error(
                filename,
                f"has a row group of {size} bytes uncompressed; {MAX_ROW_GROUP_BYTES} are allowed. Write smaller ones.",
            )
    twice = [name for name, count in Counter(file.schema_arrow.names).items() if count > 1]
    if twice:
        raise _error(filename, f'has two columns of the name "{twice[0]}".')
    if not file.schema_arrow.names or not metadata.num_rows:
        raise _error(filename, "holds no rows.")
    return file


def parquet_batches(file: pq.ParquetFile, *, filename: str, max_rows: int = MAX_BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The plain (not nested) columns, batch by batch, as many rows at a time as memory allows. Raises DatasetError."""
    plain = plain_columns(file)
    if not plain:
        return
    rows = max(1, min(max_rows, BATCH_VALUES // len(plain)))
    try:
        yield from file.iter_batches(batch_size=rows, columns=plain, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _error(filename, "is a damaged Parquet file; is it whole?") from error


def plain_columns(file: pq.ParquetFile) -> list[str]:
    """Names of the columns with one value a row, as they stand in the file."""
    schema = file.schema_arrow
    return [name for name, kind in zip(schema.names, schema.types, strict=True) if not pa.types.is_nested(kind)]


def is_text(kind: pa.DataType) -> bool:
    """Is this the type of a column of text (not of dictionary-encoded text)?"""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _error(filename: str, sentence: str) -> DatasetError:
    return DatasetError(f"{filename} {sentence}", details={"file": filename})
