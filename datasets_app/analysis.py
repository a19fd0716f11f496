"""What is in a table: rows, columns and their kinds, missing values, lengths of the text. One pass, memory bounded.

Each batch adds to one `ColumnProfile` a column, in Arrow's own code, which lets go of Python's lock: a web process
stays responsive while it looks at a large file.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from automl_site.errors import DatasetError
from datasets_app import tables
from trainers import records
from trainers.tabular.read import Note, clean_names
from trainers.tabular.values import FALSE, MISSING, TRUE

LINES = "text"  # the one column of a text file
EXAMPLES = 5
EXAMPLE_CHARACTERS = 80
SKETCH_SIZE = 2048  # smallest hashes kept: distinct counts below it are exact, above it within some 2 %
WARNINGS_KEPT = 20

# A leading zero makes a code (postcode, article number), not a number: its zeros matter.
_PLAIN = r"((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|(?i:inf|infinity)"
_GROUPED = r"[1-9][0-9]{0,2}((,[0-9]{3})+(\.[0-9]+)?|(\.[0-9]{3})+(,[0-9]+)?)|[0-9]+,[0-9]+"
_DAY = r"([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4})"
_TIME = r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?)? ?(Z|[+-][0-9]{2}:?[0-9]{2})?"
PATTERNS = {
    "integer": r"^[+-]?(0|[1-9][0-9]{0,17})$",
    "number": rf"^[$€£]? ?[+-]?({_PLAIN}|{_GROUPED}) ?[%€$£]?$",
    "date": rf"^{_DAY}{_TIME}$",
}
KINDS_SOUGHT = ("boolean", "date", "integer", "number")  # the first that fits is taken
BOOLEANS = [word for word in TRUE + FALSE if word.isalpha()]
READABLE_SHARE = 0.9  # of a column's values must be numbers (dates) for it to be a number (date) column
HOPELESS_SHARE = 0.5  # a kind that fewer of the values so far are is not looked for any more
TEXT_NAMES = (
    "text", "content", "body", "message", "review", "comment", "sentence", "document", "prompt", "instruction",
)  # fmt: skip
ID_NAMES = ("id", "uuid", "guid", "key", "index")


@dataclass
class Analysis:
    """What `analyse` found.

    `columns` are names in file order; `schema` maps each to {"kind", "dtype", "missing", "distinct", "examples"}.
    """

    rows: int
    columns: list[str]
    schema: dict[str, dict[str, Any]]
    text_column: str | None
    stats: dict[str, float | int | None]  # avg_length, min_length, max_length of the text column, in characters
    warnings: list[str]
    dialect: dict[str, Any]  # of a CSV file: encoding, delimiter, header_record

    def as_json(self) -> dict[str, Any]:
        """What is kept with the data set: the contract's `analysis`, and how to read the file again."""
        return {
            "rows": self.rows,
            "columns": self.columns,
            "text_column": self.text_column,
            "stats": self.stats,
            "warnings": self.warnings,
            "dialect": self.dialect,
        }


@dataclass
class ColumnProfile:
    """What is known of one column so far. Lengths are in characters, of the values that are not missing."""

    dtype: str = "string"
    values: int = 0  # not missing
    missing: int = 0
    matches: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS_SOUGHT, 0))  # values that are of a kind
    words: int = 0
    length: int = 0
    min_length: int | None = None
    max_length: int = 0
    examples: list[Any] = field(default_factory=list)
    sketch: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def add(self, column: pa.Array) -> None:
        """Take in one batch's values."""
        counts = None
        if pa.types.is_dictionary(column.type):
            # Never spelled out: a long text that repeats a million times stands in the dictionary once.
            counted = pc.value_counts(column)
            values, counts = counted.field("values"), counted.field("counts").to_numpy(zero_copy_only=False)
            column = values.cast(values.type.value_type)
        is_text = tables.is_text(column.type)
        present = ~self._absent(column, is_text)
        if counts is None:
            counts = np.ones(len(column), np.int64)
        self.missing += int(counts[~present].sum())
        values, counts = column.filter(pa.array(present)), counts[present]
        if not len(values):
            return
        self.values += int(counts.sum())
        self._remember(values)
        if is_text:
            self._measure_text(values, counts)

    @staticmethod
    def _absent(values: pa.Array, is_text: bool) -> npt.NDArray[np.bool_]:
        if is_text:
            absent = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(values)), value_set=pa.array(MISSING, values.type))
        elif pa.types.is_floating(values.type):
            absent = pc.is_nan(values)
        else:
            absent = pc.is_null(values)
        return np.asarray(pc.or_kleene(pc.is_null(values), absent).to_numpy(zero_copy_only=False), bool)

    def _remember(self, values: pa.Array) -> None:
        """Take the first different values as examples, and the smallest hashes into the sketch."""
        if len(self.examples) < EXAMPLES:
            for value in values.slice(0, 100 * EXAMPLES):
                example = json_value(value.as_py(), max_characters=EXAMPLE_CHARACTERS)
                if len(self.examples) < EXAMPLES and example not in self.examples:
                    self.examples.append(example)
        hashes = pl.Series(values).hash().to_numpy()
        if len(self.sketch) == SKETCH_SIZE:
            hashes = hashes[hashes < self.sketch[-1]]
        self.sketch = np.unique(np.concatenate([self.sketch, hashes]))[:SKETCH_SIZE]

    def _measure_text(self, values: pa.Array, counts: npt.NDArray[np.int64]) -> None:
        trimmed = pc.utf8_trim_whitespace(values)
        for kind in list(self.matches):
            self.matches[kind] += int(counts[_matching(kind, trimmed)].sum())
            if self.matches[kind] < HOPELESS_SHARE * self.values:
                del self.matches[kind]
        lengths = pc.utf8_length(values).to_numpy(zero_copy_only=False).astype(np.int64)
        words = pc.count_substring(trimmed, " ").to_numpy(zero_copy_only=False).astype(np.int64) + 1
        self.words += int((words * counts).sum())
        self.length += int((lengths * counts).sum())
        shortest = int(lengths.min())
        self.min_length = shortest if self.min_length is None else min(self.min_length, shortest)
        self.max_length = max(self.max_length, int(lengths.max()))

    @property
    def distinct(self) -> int:
        """Number of different values; exact below SKETCH_SIZE, else estimated from the k-th smallest hash."""
        if len(self.sketch) < SKETCH_SIZE:
            return len(self.sketch)
        return min(self.values, round((SKETCH_SIZE - 1) / (float(self.sketch[-1]) / 2**64)))

    @property
    def average_length(self) -> float:
        return self.length / self.values if self.values else 0.0

    def kind(self, name: str) -> str:
        """One of number, integer, boolean, date, category, text, id; empty (no value at all), nested (all the rest)."""
        if not self.values:
            return "empty"
        typed = self._typed_kind()
        if typed in ("integer", "string") and self._is_id(name, is_text=typed == "string"):
            return "id"
        if typed != "string":
            return typed
        average_words = self.words / self.values
        is_prose = average_words >= 3 or self.average_length > 50
        return "text" if is_prose and self.distinct > max(0.1 * self.values, 1) else "category"

    def _typed_kind(self) -> str:
        if self.dtype != "string":
            return self.dtype
        for kind in KINDS_SOUGHT:
            share = 1.0 if kind in ("boolean", "integer") else READABLE_SHARE
            if self.matches.get(kind, 0) >= share * self.values:
                return kind
        return "string"

    def _is_id(self, name: str, *, is_text: bool) -> bool:
        if self.values < 20 or self.distinct < 0.95 * self.values:
            return False
        folded = name.lower().replace("-", "_")
        named = any(folded == word or folded.endswith("_" + word) for word in ID_NAMES) or name.endswith("Id")
        # Without such a name, only what looks like a code: one word, all of one length.
        is_code = is_text and self.words == self.values and self.min_length == self.max_length
        return named or (is_code and self.max_length >= 8)


def _matching(kind: str, values: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of these texts (n,), trimmed and not empty, are of that kind."""
    if kind == "boolean":
        mask = pc.is_in(pc.utf8_lower(values), value_set=pa.array(BOOLEANS, values.type))
    else:
        mask = pc.match_substring_regex(values, PATTERNS[kind])
    return mask.to_numpy(zero_copy_only=False)


def analyse(path: Path, *, filename: str, format: str) -> Analysis:
    """Look at a whole CSV, JSON, Parquet or text file.

    Raises DatasetError, naming the file, and the row or line that is at fault.
    """
    by_format = {"json": _analyse_json, "jsonl": _analyse_json, "parquet": _analyse_parquet, "txt": _analyse_text}
    return by_format.get(format, _analyse_csv)(path, filename)


def _analyse_csv(path: Path, filename: str) -> Analysis:
    dialect, notes = tables.csv_dialect(path, filename=filename)
    profiles = [ColumnProfile() for _ in dialect.names]
    ragged, rows = tables.Ragged(), 0
    for batch in tables.csv_batches(path, dialect, filename=filename, ragged=ragged):
        rows += batch.num_rows
        for profile, column in zip(profiles, batch.columns, strict=True):
            profile.add(column)
    notes += tables.check_ragged(ragged, rows=rows, width=len(dialect.names), filename=filename)
    if not rows:
        raise DatasetError(f"{filename} has a header and no rows.", details={"file": filename})
    kept = {"encoding": dialect.encoding, "delimiter": dialect.delimiter, "header_record": dialect.header_record}
    return _result(rows, dict(zip(dialect.names, profiles, strict=True)), notes, kept)


def _analyse_json(path: Path, filename: str) -> Analysis:
    """A row a record. Values count as a CSV would spell them; columns of lists and objects are told to be nested."""
    notes: list[Note] = []
    encoding = tables.encoding_of(path, filename=filename, notes=notes)
    profiles: dict[str, ColumnProfile] = {}
    nested: set[str] = set()
    rows = 0
    for batch in tables.json_batches(path, encoding=encoding, filename=filename):
        for key, values in batch.items():
            if key not in profiles:
                profiles[key] = ColumnProfile(missing=rows)
            cells = records.cells(values)
            if cells is None:
                nested.add(key)
            else:
                profiles[key].add(pa.array(cells, pa.string()))
        rows += len(next(iter(batch.values()), ()))
    if not profiles:
        raise DatasetError(f"{filename} holds no records.", details={"file": filename})
    if len(nested) == len(profiles):
        raise DatasetError(
            f'{filename} holds no plain values, but lists and objects. Give a list of records such as {{"text": "…"}}.',
            details={"file": filename},
        )
    names = [name.replace("\0", "\ufffd") for name in clean_names([records.clean(key) for key in profiles], notes)]
    for key in nested:
        profiles[key] = ColumnProfile(dtype="nested", values=rows)
    return _result(rows, dict(zip(names, profiles.values(), strict=True)), notes, {"encoding": encoding})


def _analyse_text(path: Path, filename: str) -> Analysis:
    """One column, `text`, a row a line; blank lines are none."""
    notes: list[Note] = []
    encoding = tables.encoding_of(path, filename=filename, notes=notes)
    profile, rows = ColumnProfile(), 0
    for lines in tables.line_batches(path, encoding=encoding, filename=filename):
        rows += len(lines)
        profile.add(lines)
    if not rows:
        raise DatasetError(f"{filename} is empty.", details={"file": filename})
    found = _result(rows, {LINES: profile}, notes, {"encoding": encoding})
    found.schema[LINES] |= {"kind": "text", "dtype": "string"}
    found.text_column = LINES
    found.stats = _lengths(profile)
    return found


def _analyse_parquet(path: Path, filename: str) -> Analysis:
    notes: list[Note] = []
    with tables.open_parquet(path, filename=filename) as file:
        schema = file.schema_arrow
        names = [name.replace("\0", "\ufffd") for name in clean_names(schema.names, notes)]
        profiles = [ColumnProfile(dtype=_typed(kind)) for kind in schema.types]
        plain = [profile for profile, kind in zip(profiles, schema.types, strict=True) if not pa.types.is_nested(kind)]
        rows = 0
        for batch in tables.parquet_batches(file, filename=filename):
            rows += batch.num_rows
            for profile, column in zip(plain, batch.columns, strict=True):
                profile.add(column)
        if plain and rows != file.metadata.num_rows:
            raise DatasetError(f"{filename} is a damaged Parquet file; is it whole?", details={"file": filename})
        rows = file.metadata.num_rows
    result = _result(rows, dict(zip(names, profiles, strict=True)), notes, {})
    for name, kind in zip(names, schema.types, strict=True):
        result.schema[name]["dtype"] = str(kind.value_type if pa.types.is_dictionary(kind) else kind)
        if pa.types.is_nested(kind):
            result.schema[name]["kind"] = "nested"
    return result


def _typed(kind: pa.DataType) -> str:
    """The kind that a Parquet column's type already tells; "string" where the values must be looked at."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    return "string" if tables.is_text(kind) else "nested"


def _result(rows: int, profiles: dict[str, ColumnProfile], notes: list[Note], dialect: dict[str, Any]) -> Analysis:
    kinds = {name: profile.kind(name) for name, profile in profiles.items()}
    schema = {
        name: {
            "kind": kinds[name],
            "dtype": profile.dtype if profile.dtype != "string" else profile._typed_kind(),
            "missing": profile.missing,
            "distinct": profile.distinct,
            "examples": profile.examples,
        }
        for name, profile in profiles.items()
    }
    text = _text_column(profiles, kinds)
    profile = profiles[text] if text is not None else None
    return Analysis(
        rows=rows,
        columns=list(profiles),
        schema=schema,
        text_column=text,
        stats=_lengths(profile),
        warnings=[message for level, message in notes if level == "WARN"][:WARNINGS_KEPT],
        dialect=dialect,
    )


def _lengths(profile: ColumnProfile | None) -> dict[str, float | int | None]:
    return {
        "avg_length": round(profile.average_length, 2) if profile else None,
        "min_length": profile.min_length if profile else None,
        "max_length": profile.max_length if profile else None,
    }


def _text_column(profiles: dict[str, ColumnProfile], kinds: dict[str, str]) -> str | None:
    """The column that holds the text: one so called, else the one with the longest prose."""
    worded = {name: profile for name, profile in profiles.items() if kinds[name] in ("text", "category")}
    named = [(TEXT_NAMES.index(name.lower()), name) for name in worded if name.lower() in TEXT_NAMES]
    if named:
        return min(named)[1]
    prose = [name for name in worded if kinds[name] == "text"]
    return max(prose, key=lambda name: profiles[name].average_length) if prose else None


def json_value(value: Any, *, max_characters: int | None = None) -> Any:
    """A value of a table as JSON has it: NaN and infinities are null, dates ISO 8601, bytes hex, decimals numbers."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, str):
        clean = value.replace("\0", "\ufffd")
        cut = max_characters is not None and len(clean) > max_characters
        return clean[:max_characters] + "…" if cut else clean
    if isinstance(value, bytes):
        return json_value(value.hex(), max_characters=max_characters)
    if isinstance(value, dict):
        return {str(key): json_value(item, max_characters=max_characters) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item, max_characters=max_characters) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "as_tuple"):  # Decimal
        return json_value(float(value))
    return json_value(str(value), max_characters=max_characters)
