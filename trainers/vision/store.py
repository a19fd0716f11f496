"""An image model at rest: `model.json` (the manifest) and `model.safetensors`."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from trainers.files import sync_folder, write_json_atomically
from trainers.protocol import ModelProblem

FORMAT_VERSION = 1
WEIGHTS = "model.safetensors"


def save(folder: Path, manifest: Mapping[str, Any], model: nn.Module) -> None:
    """Write both files, the manifest last: a folder that has one is whole."""
    path = folder / WEIGHTS
    save_file({name: each.detach().cpu().contiguous() for name, each in model.state_dict().items()}, path)
    sync_folder(folder)
    sums = {WEIGHTS: {"bytes": path.stat().st_size, "sha256": _sum(path)}}
    write_json_atomically(folder / "model.json", {"format_version": FORMAT_VERSION, **manifest, "files": sums})


def load(
    folder: Path, manifest: Mapping[str, Any], build: Callable[[Mapping[str, Any]], nn.Module]
) -> tuple[nn.Module, list[str], int]:
    """(model, names of the classes, size of the images). Raises ModelProblem when anything is not as `save` left it."""
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelProblem(f"The model has format version {str(version)[:20]}; this release reads {FORMAT_VERSION}.")
    path = folder / WEIGHTS
    try:
        if _sum(path) != manifest["files"][WEIGHTS]["sha256"]:
            raise ModelProblem(f"{WEIGHTS} is not the file that the model's manifest describes.")
        model = build(manifest["architecture"])
        model.load_state_dict(load_file(path))
        classes, size = [str(each) for each in manifest["classes"]], int(manifest["image_size"])
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelProblem("The model's files are damaged or incomplete.") from error
    return model.eval(), classes, size


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
