"""A torch model at rest: `model.json` (the manifest), `model.safetensors`, and what else the trainer wrote."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from trainers.files import sync_folder, write_json_atomically
from trainers.protocol import ModelProblem

FORMAT_VERSION = 1
WEIGHTS = "model.safetensors"


def save(folder: Path, manifest: Mapping[str, Any], model: nn.Module, *, also: Sequence[str] = ()) -> None:
    """Write weights and manifest, this one last: a folder that has one is whole. `also` are files that lie there."""
    save_file({name: each.detach().cpu().contiguous() for name, each in model.state_dict().items()}, folder / WEIGHTS)
    sums = {}
    for name in (WEIGHTS, *also):
        path = folder / name
        sums[name] = {"bytes": path.stat().st_size, "sha256": _sum(path)}
    sync_folder(folder)
    write_json_atomically(folder / "model.json", {"format_version": FORMAT_VERSION, **manifest, "files": sums})


def load(folder: Path, manifest: Mapping[str, Any], build: Callable[[Mapping[str, Any]], nn.Module]) -> nn.Module:
    """The model, built from the manifest's architecture. Raises ModelProblem when anything is not as `save` left it."""
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelProblem(f"The model has format version {str(version)[:20]}; this release reads {FORMAT_VERSION}.")
    try:
        for name, expected in manifest["files"].items():
            if _sum(folder / Path(name).name) != expected["sha256"]:
                raise ModelProblem(f"{name} is not the file that the model's manifest describes.")
        model = build(manifest["architecture"])
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ModelProblem("The model's files are damaged or incomplete.") from error
    return model.eval()


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
