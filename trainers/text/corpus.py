"""Finds the documents in what a user has: plain text, folders of it, CSV, JSON, Parquet, a zip of these."""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

import polars as pl
from polars.exceptions import PanicException, PolarsError

from trainers import records
from trainers.files import BROKEN_ZIP, shown
from trainers.protocol import DataProblem, Reporter

PLAIN = {".txt", ".text", ".md", ".rst", ""}
TABLES = {".csv", ".tsv", ".parquet", *records.LINES_SUFFIXES}
MAX_FILE_BYTES = 4 * 1024**3
SEPARATORS = (",", ";", "\t", "|")
AnyPath = TypeVar("AnyPath", bound=PurePath)
Warn = Callable[[str], None]  # takes a sentence for the log
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
    for name, content in files(path):
        for text in texts_of(name, content, text_column, warns(reporter)):
            if text.strip():
                found.append(text)
            else:
                empty += 1
    if not found:
        raise DataProblem(
            f'There is no text in "{path.name}": give a text file, a folder of them, or a CSV, JSON or Parquet '
            "file with a column of texts."
        )
    if empty:
        reporter.log("WARN", f"{empty} empty documents are left out")
    return found


def warns(reporter: Reporter) -> Warn:
    """What `decoded` and others say goes to the job's log."""
    return lambda sentence: reporter.log("WARN", sentence)


def decoded(content: bytes, name: str, warn: Warn) -> str:
    """The text of a file: by its byte order mark, else UTF-8, else Windows' western encoding (of which it warns)."""
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
        warn(f'"{name}" is not UTF-8 (byte {error.start}); read as Windows-1252')
        return content.decode("cp1252", errors="replace")


def files(path: Path) -> Iterator[tuple[str, bytes]]:
    """(its path inside, its content) of the file, or of each text and table in a folder or zip. Raises DataProblem."""
    if path.is_dir():
        root = path.resolve()
        for inside in chosen([each.relative_to(root) for each in sorted(root.rglob("*")) if each.is_file()]):
            if (root / inside).resolve().is_relative_to(root):
                yield shown(inside.as_posix()), _read(root / inside)
    elif path.suffix.lower() == ".zip":
        yield from _zipped(path)
    else:
        yield path.name, _read(path)


def chosen(names: Sequence[AnyPath]) -> list[AnyPath]:
    """Those of the files in a folder or zip that are read: texts and tables; .json files where there is nothing else.

    Beside others such a file is more often a description of them.
    """
    visible = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.parts)]
    return [name for name in visible if name.suffix.lower() in PLAIN | TABLES] or [
        name for name in visible if name.suffix.lower() in records.ARRAY_SUFFIXES
    ]


def _zipped(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {PurePosixPath(info.filename): info for info in archive.infolist() if not info.is_dir()}
            for name in chosen(sorted(infos, key=str)):
                with archive.open(infos[name]) as file:
                    content = file.read(MAX_FILE_BYTES + 1)
                if len(content) > MAX_FILE_BYTES:
                    raise DataProblem(f'"{name}" is longer than {MAX_FILE_BYTES} bytes.')
                yield name.as_posix(), content
    except BROKEN_ZIP as error:
        raise DataProblem(f'"{path.name}" is no whole zip file: {error}') from error


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataProblem(f'"{path.name}" is longer than {MAX_FILE_BYTES} bytes; split it into several files.')
    return path.read_bytes()


def texts_of(name: str, content: bytes, text_column: str | None, warn: Warn, *, falls_back: bool = False) -> list[str]:
    """The texts of a file: its rows where it is a table, else the whole of it; None in a row is an empty text.

    With `falls_back` a table without `text_column` is searched for another one. Raises DataProblem.
    """
    if not is_table(name):
        return [decoded(content, name, warn)]
    table = read_table(name, content, warn)
    if text_column in table.columns:
        column = text_column
    elif text_column is None or falls_back:
        column = find_text_column(table, name)
    else:
        raise no_column(text_column, table, name)
    return strings(table[column])


def is_table(name: str) -> bool:
    """Is this the name of a file of rows?"""
    return PurePosixPath(name).suffix.lower() in TABLES | set(records.SUFFIXES)


def no_column(column: str, table: pl.DataFrame, name: str) -> DataProblem:
    """The exception for a column that a table does not have."""
    sentence = f'"{name}" has no column "{column}"; it has {", ".join(table.columns)}.'
    return DataProblem(sentence, details={"column": column})


def strings(column: pl.Series) -> list[str]:
    """Every value as text, nothing as an empty one. Raises DataProblem."""
    try:
        return [text or "" for text in column.cast(pl.String).to_list()]
    except PolarsError as error:
        raise DataProblem(f'Column "{column.name}" holds {column.dtype}, not text.') from error


def read_table(name: str, content: bytes, warn: Warn) -> pl.DataFrame:
    """A table of texts, whatever else it holds. Raises DataProblem."""
    suffix = PurePosixPath(name).suffix.lower()
    try:
        if suffix == ".parquet":
            return pl.read_parquet(io.BytesIO(content))
        text = decoded(content, name, warn)
        if suffix in records.SUFFIXES:
            return records.read_frame(text, f'"{name}"')[0]
        return pl.read_csv(io.BytesIO(text.encode()), separator=_separator(text), infer_schema=False)
    except (PolarsError, PanicException, OSError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:300]
        if "more fields than" in said:
            said = "a row has more fields than the header. Texts that hold commas or line ends must stand in quotes."
        raise DataProblem(f'"{name}" cannot be read as a table: {said}') from error


def _separator(text: str) -> str:
    """What stands most often between the names of the columns."""
    header = text[: text.find("\n") if "\n" in text else len(text)]
    return max(SEPARATORS, key=header.count)


def find_text_column(table: pl.DataFrame, name: str, *, but: str | None = None) -> str:
    """The column with a name that texts have, else the one of texts that is longest on average. Never `but`."""
    table = table.drop(but) if but else table
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
