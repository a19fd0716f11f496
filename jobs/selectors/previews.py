"""What a page shows of a run's file: its first lines, its first rows, or that the browser may draw or play it.

A preview never runs what is in a file and reads a bounded part of it; HTML and SVG are shown as their source.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from automl_site.errors import DatasetError, StorageError
from datasets_app.storage import get_storage
from tracking.artifact_kinds import kind_of, suffix_of
from tracking.models import Artifact

HEAD_BYTES = 256 * 1024  # read of a text
MAX_LINES = 1000
MAX_LINE = 2000  # characters
MAX_JSON_BYTES = 1024 * 1024  # of a file that is laid out anew
MAX_ROWS = 50
MAX_COLUMNS = 40
MAX_CELL = 200  # characters
MAX_IMAGE_BYTES = 32 * 1024**2
MAX_MEDIA_BYTES = 4 * 1024**3
MAX_PARQUET_BYTES = 256 * 1024**2  # uncompressed, of the first row group's columns that are shown
# How files begin that a browser may draw or play: (offset, bytes, content type).
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
)
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Preview:
    """`kind`: text (`lines`), table (`columns`, `rows`), image, audio, video or none.

    `note` says what is left out, or why there is nothing.
    """

    kind: str
    note: str = ""
    lines: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str | None]] = field(default_factory=list)


class _Unreadable(Exception):
    """It is not what its name says; something plainer may be shown instead."""


def media_type(file: Artifact) -> str:
    """The content type of an image, sound or film that a browser may show, by its name and its first bytes; else ""."""
    kind = kind_of(file.path)
    if kind not in ("image", "audio", "video"):
        return ""
    if file.blob.size_bytes > (MAX_IMAGE_BYTES if kind == "image" else MAX_MEDIA_BYTES):
        return ""
    head = _head(file, 16)
    found = (content_type for at, magic, content_type in _MAGIC if head[at : at + len(magic)] == magic)
    content_type = next(found, "")
    return content_type if content_type.startswith(kind) else ""


def preview_of(file: Artifact) -> Preview:
    """What there is to see of it. Raises StorageError."""
    kind = kind_of(file.path)
    if not file.blob.size_bytes:
        return Preview("none", "The file is empty.")
    if kind in ("image", "audio", "video"):
        return Preview(kind) if media_type(file) else _no_media(file, kind)
    if kind == "pdf":
        return Preview("none", "PDF files are not shown here: download it.")
    try:
        if suffix_of(file.path) == "parquet":
            return _parquet(file)
        if suffix_of(file.path) == "json" and file.blob.size_bytes <= MAX_JSON_BYTES:
            return _json(_head(file, MAX_JSON_BYTES))
        if kind == "table":
            return _text_table(file)
    except _Unreadable as reason:
        if str(reason):
            return Preview("none", str(reason))
    return _text(file)


def _no_media(file: Artifact, kind: str) -> Preview:
    limit = MAX_IMAGE_BYTES if kind == "image" else MAX_MEDIA_BYTES
    if file.blob.size_bytes > limit:
        return Preview("none", "It is too large to be shown here: download it.")
    return Preview("none", f"Its bytes are not those of a file that ends with .{suffix_of(file.path)}: download it.")


def _head(file: Artifact, count: int) -> bytes:
    try:
        with get_storage().open(file.blob.key) as source:
            return source.read(count)
    except FileNotFoundError:
        raise StorageError from None


# --- Text ------------------------------------------------------------------------------------------------------------


def _text(file: Artifact) -> Preview:
    text = _decoded(_head(file, HEAD_BYTES), lenient=kind_of(file.path) in ("text", "table"))
    if text is None:
        return Preview("none", "It is no text, and nothing else that can be shown here: download it.")
    return _lines(text, is_whole=file.blob.size_bytes <= HEAD_BYTES)


def _lines(text: str, *, is_whole: bool) -> Preview:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    shown = [_cut(line.removesuffix("\r"), MAX_LINE) for line in lines[:MAX_LINES]]
    if len(lines) > MAX_LINES or not is_whole:
        return Preview("text", f"The first {len(shown):,} lines.", lines=shown)
    return Preview("text", lines=shown)


def _decoded(data: bytes, *, lenient: bool) -> str | None:
    """As UTF-8, or UTF-16 with its mark; None for what is no text. The last character may have been cut through."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return codecs.getincrementaldecoder(encoding)("replace").decode(data).replace("\0", "\ufffd")
    if b"\0" in data:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")("strict").decode(data)
    except UnicodeDecodeError:
        return data.decode("latin-1") if lenient else None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


# --- Tables ----------------------------------------------------------------------------------------------------------


def _text_table(file: Artifact) -> Preview:
    """CSV, TSV and JSON lines. Raises _Unreadable."""
    data = _head(file, HEAD_BYTES)
    text = _decoded(data, lenient=True)
    if text is None:
        raise _Unreadable
    is_whole = file.blob.size_bytes <= len(data)
    if not is_whole:  # the last line may have been cut through
        text = text[: text.rfind("\n") + 1]
    if suffix_of(file.path) in ("jsonl", "ndjson"):
        lines = [line for line in text.split("\n") if line.strip()]
        return _records([_parsed(line) for line in lines[:MAX_ROWS]], is_whole and len(lines) <= MAX_ROWS)
    from trainers.tabular.read import sniff_delimiter

    try:
        delimiter = sniff_delimiter(text)
        rows = list(islice(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), MAX_ROWS + 2))
    except csv.Error:
        raise _Unreadable from None
    if len(rows) < 2 or len(rows[0]) < 2:
        raise _Unreadable
    return _table(rows[0], rows[1 : MAX_ROWS + 1], is_whole=is_whole and len(rows) < MAX_ROWS + 2)


def _json(data: bytes) -> Preview:
    """Records as a table, anything else laid out anew. Raises _Unreadable."""
    value = _parsed(data)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value[:MAX_ROWS]):
        return _records(value[:MAX_ROWS], len(value) <= MAX_ROWS)
    try:
        return _lines(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), is_whole=True)
    except orjson.JSONEncodeError:  # it reads deeper nests than it writes
        raise _Unreadable from None


def _parsed(text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _Unreadable from None


def _records(records: Sequence[Any], is_whole: bool) -> Preview:
    """JSON objects as rows; their columns in the order in which they first come. Raises _Unreadable."""
    if not records or not all(isinstance(record, dict) and record for record in records):
        raise _Unreadable
    names = list(dict.fromkeys(name for record in records for name in record))
    return _table(names, ([record.get(name) for name in names[:MAX_COLUMNS]] for record in records), is_whole=is_whole)


def _parquet(file: Artifact) -> Preview:
    import pyarrow as pa  # loading it takes longer than all other previews

    from datasets_app import tables

    path = get_storage().local_path(file.blob.key)
    try:
        with tables.open_parquet(path, filename="It") as table:
            names = tables.plain_columns(table)[:MAX_COLUMNS]
            group = table.metadata.row_group(0)
            sizes = {
                group.column(index).path_in_schema: group.column(index).total_uncompressed_size
                for index in range(group.num_columns)
            }
            if sum(sizes.get(name, 0) for name in names) > MAX_PARQUET_BYTES:
                raise _Unreadable("Its row groups are too large for a look at the first rows: download it.")
            batch = next(table.iter_batches(batch_size=MAX_ROWS, columns=names, use_threads=False), None)
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True) if batch is not None else ()
            left_out = len(table.schema_arrow.names) - len(names)
            return _table(names, rows, is_whole=table.metadata.num_rows <= MAX_ROWS, left_out=left_out)
    except FileNotFoundError:
        raise StorageError from None
    except DatasetError as error:
        raise _Unreadable(error.message) from None
    except (pa.ArrowException, ValueError, OSError):
        raise _Unreadable("It is a damaged Parquet file.") from None


def _table(names: Sequence[Any], rows: Iterable[Sequence[Any]], *, is_whole: bool, left_out: int = 0) -> Preview:
    shown = [[_cell(value) for value in row[:MAX_COLUMNS]] for row in rows]
    notes = []
    if not is_whole:
        notes.append(f"The first {len(shown)} rows.")
    if left_out or len(names) > MAX_COLUMNS:
        notes.append(f"{left_out + max(len(names) - MAX_COLUMNS, 0):,} more columns are not shown.")
    return Preview("table", " ".join(notes), columns=[_cut(str(n), MAX_CELL) for n in names[:MAX_COLUMNS]], rows=shown)


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else _cut(value.replace("\0", "\ufffd"), MAX_CELL)
    if isinstance(value, bytes):
        return _cut(value[:MAX_CELL].hex(), MAX_CELL)
    if isinstance(value, bool | int | float | list | dict):
        try:
            return _cut(json.dumps(value, ensure_ascii=False, default=str), MAX_CELL)
        except RecursionError:
            return "(nested too deep to be shown)"
    return _cut(str(value), MAX_CELL)
