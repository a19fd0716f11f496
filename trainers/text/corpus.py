"""Finds the documents in what a user has: plain text, folders of it, CSV, JSON lines, Parquet, a zip of these."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import polars as pl
from polars.exceptions import PolarsError

from trainers.protocol import DataProblem, Reporter

PLAIN = {".txt", ".text", ".md", ".rst", ""}
TABLES = {".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"}
MAX_FILE_BYTES = 4 * 1024**3
_TEXT_NAMES = ("text", "content", "document", "body", "sentence", "review", "message", "prompt", "article", "story")
_ENCODINGS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)


def documents(path: Path, reporter: Reporter, *, text_column: str | None = None) -> list[str]:
    """Every document of a file or folder, in a fixed order; empty ones are left out, and counted in the log.

    Raises:
        DataProblem: there is no text in it, or a table does not say which column it is in.
    """
    found: list[str] = []
    empty = 0
    for name, content in _files(path):
        for text in _documents_of(name, content, text_column, reporter):
            if text.strip():
                found.append(text)
            else:
                empty += 1
    if not found:
        raise DataProblem(
            f'There is no text in "{path.name}": give a text file, a folder of them, or a CSV, JSON lines or Parquet file '
            "with a column of texts."
        )
    if empty:
        reporter.log("WARN", f"{empty} empty documents are left out")
    return found


def decoded(content: bytes, name: str, reporter: Reporter) -> str:
    """The text of a file: by its byte order mark, else UTF-8, else Windows' western encoding (which the log says)."""
    for mark, encoding in _ENCODINGS:
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as error:
                raise DataProblem(f'"{name}" is not whole {encoding}: {error.reason} at byte {error.start}.') from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\0" in content[:4096]:
            raise DataProblem(f'"{name}" is no text: it holds zero bytes.') from error
        reporter.log("WARN", f'"{name}" is not UTF-8 (byte {error.start}); read as Windows-1252')
        return content.decode("cp1252", errors="replace")


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        root = path.resolve()
        for each in sorted(root.rglob("*")):
            inside = each.relative_to(root)
            if any(part.startswith(".") for part in inside.parts) or not each.resolve().is_relative_to(root):
                continue
            if each.is_file() and each.suffix.lower() in PLAIN | TABLES:
                yield inside.as_posix(), _read(each)
    elif path.suffix.lower() == ".zip":
        yield from _zipped(path)
    else:
        yield path.name, _read(path)


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in sorted(archive.infolist(), key=lambda each: each.filename):
                name = PurePosixPath(info.filename)
                hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
                if info.is_dir() or hidden or name.suffix.lower() not in PLAIN | TABLES:
                    continue
                with archive.open(info) as file:
                    content = file.read(MAX_FILE_BYTES + 1)
                if len(content) > MAX_FILE_BYTES:
                    raise DataProblem(f'"{name}" is longer than {MAX_FILE_BYTES} bytes.')
                yield name.as_posix(), content
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataProblem(f'"{path.name}" is no whole zip file: {error}') from error


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataProblem(f'"{path.name}" is longer than {MAX_FILE_BYTES} bytes; split it into several files.')
    return path.read_bytes()


def _documents_of(name: str, content: bytes, text_column: str | None, reporter: Reporter) -> list[str]:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in TABLES:
        return [decoded(content, name, reporter)]
    table = read_table(name, content, reporter)
    column = text_column or _text_column(table, name)
    if column not in table.columns:
        raise DataProblem(
            f'"{name}" has no column "{column}"; it has {", ".join(table.columns)}.', details={"column": column}
        )
    return [text or "" for text in table[column].cast(pl.String).to_list()]


def read_table(name: str, content: bytes, reporter: Reporter) -> pl.DataFrame:
    """A table of texts, whatever else it holds. Raises DataProblem."""
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix == ".parquet":
            return pl.read_parquet(io.BytesIO(content))
        text = decoded(content, name, reporter).encode()
        if suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(io.BytesIO(text), infer_schema_length=None)
        return pl.read_csv(io.BytesIO(text), separator="\t" if suffix == ".tsv" else ",", infer_schema=False)
    except (PolarsError, OSError) as error:
        raise DataProblem(f'"{name}" cannot be read as a table: {str(error).splitlines()[0][:300]}') from error


def _text_column(table: pl.DataFrame, name: str) -> str:
    """The column of that name, else the one of texts that is longest on average."""
    lower = {column.lower().strip(): column for column in reversed(table.columns)}
    if column := next((lower[each] for each in _TEXT_NAMES if each in lower), None):
        return column
    texts = [column for column, kind in table.schema.items() if kind == pl.String]
    if not texts:
        raise DataProblem(f'"{name}" has no column of texts; it has {", ".join(table.columns)}.')
    return max(texts, key=lambda column: float(table[column].str.len_chars().mean() or 0))  # type: ignore[arg-type]


def told(texts: Sequence[str]) -> str:
    """How much text it is, in words for the log."""
    characters = sum(map(len, texts))
    return f"{len(texts)} document{'s' if len(texts) != 1 else ''}, {characters:,} characters"
