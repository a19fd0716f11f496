"""What an inference is given: data, or the files that it names instead. Which texts name files, the model's task says.

A prompt or a mail may begin with a slash, and so does a JPEG in base64: only for tables is every such text a path.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from automl_site.errors import InvalidSpec
from datasets_app import paths
from datasets_app.models import Dataset
from tracking.models import User

MAX_FILES = 256  # that one list may name; a folder or a zip may hold more
LONGEST_NAME = paths.MAX_CHARACTERS

_ADDRESS = r"ds_[0-9a-f]{12}|s3://.+"
_TABLE = re.compile(rf"{_ADDRESS}|/.+|[^,;\t\n]+\.(csv|tsv|parquet|jsonl|ndjson|json)", re.IGNORECASE)
_TEXT = re.compile(rf"{_ADDRESS}|/data/\S+", re.IGNORECASE)
_IMAGE = re.compile(
    # "/9j/" is how each JPEG begins in base64; "data:image/…" is one that says so.
    rf"(?!/9j/|data:)({_ADDRESS}|/.+|.+\.(jpe?g|png|gif|bmp|webp|tiff?|ppm|pgm|zip|csv|tsv|parquet))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class InferenceInput:
    """`given` is what the caller wrote; `files` has what the texts in it that name files lead to."""

    given: Any
    files: Mapping[str, paths.DataRef]

    @property
    def dataset(self) -> Dataset | None:
        """The data set, where it is the whole input."""
        named = self.files.get(self.given) if isinstance(self.given, str) else None
        return named.dataset if named else None

    def local(self) -> Any:
        """`given` as a predictor takes it: each text that names a file is the file's local path.

        Raises:
            DatasetError: a file is gone by now.
            StorageError: the storage did not do its part.
        """
        found = {name: reference.local() for name, reference in self.files.items()}
        if isinstance(self.given, list):
            return [_replaced(item, found) for item in self.given]
        return _replaced(self.given, found)


def inference_input(*, user: User, input_data: Any, task: str) -> InferenceInput:
    """Check an input, and find the files that it names for a model of this task (`TrainedModel.task`).

    Raises:
        InvalidSpec: nothing to predict on, or a file that does not exist for this user.
    """
    if isinstance(input_data, str) and not input_data.strip():
        raise _refused(f"input_data is empty; give {_wanted(task)}")
    if isinstance(input_data, dict | list) and not input_data:
        raise _refused(f"input_data is empty; give {_wanted(task)}")
    if not isinstance(input_data, str | dict | list):
        raise _refused("input_data must be a string, an object or a list")
    names = dict.fromkeys(_names(input_data, task))
    if len(names) > MAX_FILES:
        raise _refused(
            f"input_data names {len(names)} files; at most {MAX_FILES} may be listed: give a folder or a zip"
        )
    files = {}
    for name in names:
        try:
            files[name] = paths.resolve(user=user, text=name.strip())
        except InvalidSpec as error:
            raise _refused(error.first_sentence().removeprefix("data_path: ")) from error
    return InferenceInput(given=input_data, files=files)


def _names(given: Any, task: str) -> Iterator[str]:
    """The texts in `given` that name files."""
    pattern = _IMAGE if task == "image_classification" else _TEXT if _is_text(task) else _TABLE
    # A list of tables' rows, or of prompts, is data. Of images, each may lie somewhere else.
    items = given if isinstance(given, list) else [given]
    if pattern is not _IMAGE and not isinstance(given, str):
        return
    for item in items:
        text = item.get("image") if isinstance(item, dict) else item
        if isinstance(text, str) and len(text.strip()) <= LONGEST_NAME and pattern.fullmatch(text.strip()):
            yield text


def _replaced(item: Any, found: Mapping[str, Any]) -> Any:
    if isinstance(item, dict) and isinstance(item.get("image"), str) and item["image"] in found:
        return {**item, "image": found[item["image"]]}
    return found.get(item, item) if isinstance(item, str) else item


def _is_text(task: str) -> bool:
    return task.startswith("text") or task.endswith("language_modelling")


def _wanted(task: str) -> str:
    if task == "image_classification":
        return "an image as a file, a data set's id or a data URI (data:image/png;base64,…), or a list of these"
    if _is_text(task):
        return "a text, a list of texts, or a file"
    return "a CSV row, a JSON object or list, or a file"


def _refused(sentence: str) -> InvalidSpec:
    return InvalidSpec(errors={"input_data": [sentence]})
