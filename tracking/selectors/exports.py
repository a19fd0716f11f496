"""All points of runs as files, made while they are sent. The caller has checked who may see the runs."""

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tracking import store

if TYPE_CHECKING:
    import pyarrow as pa

    from tracking.models import Run

ROWS = 65_536  # read, and written as one row group, at a time
FORMATS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def points_export(*, runs: "Iterable[Run]", format: str) -> Iterator[bytes]:
    """The points of these runs as a file of that format ("csv" or "parquet"), in pieces; memory stays bounded.

    Columns: run_id, run_name, metric, step, time (UTC, to the microsecond), value. Rows are ordered by run, as given,
    then metric, then time, step and id. A text that a spreadsheet would take for a formula gets an apostrophe in CSV.
    """
    import pyarrow as pa  # loading it takes longer than all the rest of a management command

    schema = pa.schema(
        [
            ("run_id", pa.int64()),
            ("run_name", pa.string()),
            ("metric", pa.string()),
            ("step", pa.int64()),
            ("time", pa.timestamp("us", "UTC")),
            ("value", pa.float64()),
        ]
    )
    sink = _Pieces()
    with _writer(sink, schema, format) as writer:
        for table in _tables(runs, schema, as_text=format == "csv"):
            writer.write_table(table)
            yield sink.take()
    yield sink.take()


def _writer(sink: "_Pieces", schema: "pa.Schema", format: str) -> Any:
    if format == "csv":
        from pyarrow.csv import CSVWriter

        return CSVWriter(sink, schema)
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(sink, schema, compression="zstd")


def _tables(runs: "Iterable[Run]", schema: "pa.Schema", *, as_text: bool) -> "Iterator[pa.Table]":
    """Tables of about ROWS rows: a row group each, so that many short series make no thousand groups."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for run in runs:
        for name, columns in _series(run):
            table = pa.table(
                [
                    _repeated(run.pk, len(columns), pa.int64()),
                    _repeated(_safe(run.name) if as_text else run.name, len(columns), pa.string()),
                    _repeated(_safe(name) if as_text else name, len(columns), pa.string()),
                    pa.array(columns.steps),
                    pa.array(columns.times, pa.timestamp("us", "UTC")),
                    pa.array(columns.values),
                ],
                schema=schema,
            )
            waiting.append(table)
            if sum(map(len, waiting)) >= ROWS:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _series(run: "Run") -> Iterator[tuple[str, store.Columns]]:
    """The run's points up to its present `seq`: series by name, long ones in batches, short ones read together."""
    together: list[str] = []
    count = 0
    for summary in store.summaries(run.pk):
        if count + summary.count > ROWS and together:
            yield from store.read_series(run.pk, together, until_seq=run.seq).items()
            together, count = [], 0
        if summary.count > ROWS:
            for batch in store.iter_series(run.pk, summary.name, until_seq=run.seq):
                yield summary.name, batch
        else:
            together.append(summary.name)
            count += summary.count
    if together:
        yield from store.read_series(run.pk, together, until_seq=run.seq).items()


def _repeated(value: Any, count: int, type: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    return pa.repeat(pa.scalar(value, type), count)


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


class _Pieces(io.RawIOBase):
    """A file that is only written to, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._length

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
