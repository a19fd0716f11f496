"""The texts that an inference is given, in the forms that callers write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.protocol import DataProblem
from trainers.text import corpus

MAX_TEXT = 10_000_000  # characters of one text
MAX_FILE_BYTES = 256 * 1024 * 1024
NAMES = ("text", "prompt")  # of the text in a row, where the row has no column of the training's name


def _ignore(sentence: str) -> None:
    """What reading a file has to say goes nowhere: an answer has no log of its own."""


def texts_of(given: Any, *, column: str | None = None, most: int) -> list[str]:
    """The texts in `given`: a text, a list of texts, rows {"text": …}, or a file of text or of such rows.

    `column` is what the training's table called the text; `most` the number of texts that are answered at once.

    Raises:
        DataProblem: something is no text, or there is none, or too much.
    """
    if isinstance(given, Path):
        return _bounded(_of_file(given, column), most)
    if isinstance(given, str | Mapping):
        given = [given]
    if not isinstance(given, Sequence) or not given:
        raise DataProblem('Give a text, a list of texts, or {"text": …}.')
    return [_of_row(each, number, column) for number, each in enumerate(_bounded(given, most), 1)]


def _of_row(row: Any, number: int, column: str | None) -> str:
    text = row
    if isinstance(row, Mapping):
        name = next((name for name in (column, *NAMES) if name in row), None)
        text = row[name] if name is not None else next(iter(row.values())) if len(row) == 1 else None
    if not isinstance(text, str):
        raise DataProblem(f'Text {number} is neither a text nor {{"text": …}}.', details={"row": number})
    if len(text) > MAX_TEXT:
        raise DataProblem(f"Text {number} is longer than {MAX_TEXT} characters.", details={"row": number})
    return text


def _of_file(path: Path, column: str | None) -> list[str]:
    """Of a table every row, of a plain file the whole; of a folder or zip those of all files in it."""
    if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
        raise DataProblem(f"{path.name} is longer than {MAX_FILE_BYTES} bytes; give it in parts.")
    texts: list[str] = []
    for name, content in corpus.files(path):
        texts += corpus.texts_of(name, content, column, _ignore, falls_back=True)
    if not texts:
        raise DataProblem(f"There is no text in {path.name}.")
    return texts


def _bounded(texts: Sequence[Any], most: int) -> list[Any]:
    if len(texts) > most:
        raise DataProblem(f"At most {most} texts are answered at once; there are {len(texts)}.")
    return list(texts)
