"""The files of trained models, where they lie in the storage: nothing is copied to show them beside a run's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from automl_site.errors import NotFound, StorageError
from datasets_app.storage import get_storage
from jobs.models import TrainedModel
from jobs.selectors.archives import ZipEntry
from tracking.models import Run, User

MAX_MODELS = 20  # of a run that its page shows, newest first
MAX_FILES = 200  # of a model that a page shows
SAMPLES = "samples"  # where a trainer puts pictures that its report names
MAX_SAMPLE_BYTES = 100_000
PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True)
class ModelFiles:
    """A model and the paths of its files in its folder; `problem` where the storage did not tell them."""

    model: TrainedModel
    files: Sequence[str]
    left_out: int = 0
    problem: str = ""


def models_of_run(*, user: User, run: Run) -> list[ModelFiles]:
    """The models that the run's job has left and that `user` may see, newest first."""
    models = TrainedModel.objects.visible_to(user).live().filter(run_id=run.pk).defer("report", "schema")
    return [_with_files(model) for model in models.order_by("-pk")[:MAX_MODELS]]


def _with_files(model: TrainedModel) -> ModelFiles:
    try:
        files = get_storage().folder_files(_folder(model))
    except StorageError as error:
        return ModelFiles(model, [], problem=error.message)
    return ModelFiles(model, files[:MAX_FILES], max(len(files) - MAX_FILES, 0))


def model_file_key(*, model: TrainedModel, path: str) -> str:
    """Where that file of the model lies in the storage. Raises NotFound."""
    if path not in get_storage().folder_files(_folder(model)):
        raise NotFound("The model has no such file.")
    return f"{_folder(model)}/{path}"


def sample_image(*, model: TrainedModel, name: str) -> tuple[bytes, str]:
    """(the bytes, their content type) of a picture that the model's report shows. Raises NotFound, StorageError."""
    path = f"{SAMPLES}/{name}"
    if not any(sample.get("file") == path for sample in model.report.get("samples") or ()):
        raise NotFound("The model has no such picture.")
    try:
        with get_storage().open(f"{_folder(model)}/{path}") as file:
            content = file.read(MAX_SAMPLE_BYTES + 1)
    except FileNotFoundError:
        raise NotFound("The model has no such picture.") from None
    content_type = next((kind for magic, kind in PICTURES.items() if content.startswith(magic)), None)
    if content_type is None or len(content) > MAX_SAMPLE_BYTES:
        raise NotFound("The model has no such picture.")
    return content, content_type


def model_entries(*, model: TrainedModel) -> list[ZipEntry]:
    """The model's files for a zip. Raises NotFound."""
    folder = _folder(model)
    try:
        root = get_storage().local_folder(folder)
    except FileNotFoundError:
        raise NotFound("The model has no files.") from None
    return [
        ZipEntry(path, partial(_open, root / path), (root / path).stat().st_size, model.created_at)
        for path in get_storage().folder_files(folder)
    ]


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _folder(model: TrainedModel) -> str:
    return f"models/{model.public_id}"
