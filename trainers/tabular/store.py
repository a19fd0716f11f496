"""A model at rest: `model.json` (the manifest), `encoder.json`, `model.skops`. Nothing here is ever unpickled.

The manifest holds size and SHA-256 of the other two, so that a damaged or exchanged file is noticed; skops builds only
the types that the trainer lists.
"""

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainers.files import write_bytes_atomically, write_json_atomically
from trainers.protocol import ModelProblem
from trainers.tabular.encoder import Encoder
from trainers.tabular.kinds import Column


@contextmanager
def _as_if_absent(module: str) -> Iterator[None]:
    """Let imports do without a module that they can do without. One that is imported already stays."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


# At its import skops goes through all of scikit-learn, and so through that one's adapters for PyTorch, which import
# PyTorch: seconds and hundreds of megabytes, for a process that may train nothing but forests.
with _as_if_absent("torch"):
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

FORMAT_VERSION = 1
ENCODER = "encoder.json"
MODEL = "model.skops"
MAX_BYTES = 16 * 1024**3  # of a model, unpacked
MAX_RATIO = 200  # unpacked over packed; real models stay below 30


def save(folder: Path, manifest: Mapping[str, Any], encoder: Encoder, model: Any) -> None:
    """Write all three files, the manifest last: a folder that has one is whole."""
    files = {
        ENCODER: json.dumps(encoder.to_json(), ensure_ascii=False, allow_nan=False).encode("utf-8"),
        MODEL: packed(model),
    }
    for name, content in files.items():
        write_bytes_atomically(folder / name, content)
    sums = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    write_json_atomically(folder / "model.json", {"format_version": FORMAT_VERSION, **manifest, "files": sums})


def packed(model: Any) -> bytes:
    """The content of `model.skops`. Nearly all of the time that saving takes goes here."""
    content: bytes = skops.io.dumps(model, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    return content


def load(folder: Path, manifest: Mapping[str, Any], trusted: Sequence[str]) -> tuple[list[Column], Encoder, Any]:
    """(columns, encoder, model) of that folder. Raises ModelProblem when anything is not as `save` left it."""
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelProblem(f"The model has format version {str(version)[:20]}; this release reads {FORMAT_VERSION}.")
    described = manifest.get("columns")
    if not isinstance(described, list) or manifest.get("task") not in ("classification", "regression"):
        raise ModelProblem("The model's manifest is not complete.")
    columns = [Column.from_json(column) for column in described]
    try:
        state = json.loads(_read(folder, manifest, ENCODER))
    except (ValueError, RecursionError) as error:
        raise ModelProblem("The model's encoder is damaged.") from error
    encoder = Encoder.from_json(columns, state)
    return columns, encoder, _model(_read(folder, manifest, MODEL), trusted)


def _read(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    files = manifest.get("files")
    expected = files.get(name) if isinstance(files, Mapping) else None
    if not isinstance(expected, Mapping):
        raise ModelProblem(f"The model's manifest does not list {name}.")
    try:
        if (folder / name).stat().st_size != expected.get("bytes"):
            raise ModelProblem(f"{name} has another size than the model's manifest says.")
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ModelProblem(f"{name} of the model cannot be read.") from error
    if hashlib.sha256(content).hexdigest() != expected.get("sha256"):
        raise ModelProblem(f"{name} is not the file that the model's manifest describes.")
    return content


def _model(content: bytes, trusted: Sequence[str]) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > MAX_BYTES or unpacked > MAX_RATIO * len(content):
            raise ModelProblem(f"{MODEL} would unpack to {unpacked} bytes, which no model of ours does.")
        return skops.io.loads(content, trusted=list(trusted))
    except ModelProblem:
        raise
    except UntrustedTypesFoundException as error:
        raise ModelProblem(f"{MODEL} holds types that this kind of model does not have.") from error
    except Exception as error:
        # The archive is input: whatever its parser trips over means that it is damaged.
        raise ModelProblem(f"{MODEL} is damaged ({type(error).__name__}).") from error


def check_type(model: Any, *expected: type) -> None:
    """Raises ModelProblem unless the loaded object is of one of these types."""
    if type(model) not in expected:
        raise ModelProblem(f"{MODEL} holds a {type(model).__name__}, which is no model of this kind.")
