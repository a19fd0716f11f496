"""A torch model at rest: `model.json` (the manifest), `model.safetensors`, and what else the trainer wrote."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from trainers.deep.manifest import seal, verify
from trainers.protocol import ModelProblem

WEIGHTS = "model.safetensors"


def save(folder: Path, manifest: Mapping[str, Any], model: nn.Module, *, also: Sequence[str] = ()) -> None:
    """Write weights and manifest, this one last: a folder that has one is whole. `also` are files that lie there."""
    save_file({name: each.detach().cpu().contiguous() for name, each in model.state_dict().items()}, folder / WEIGHTS)
    seal(folder, manifest, (WEIGHTS, *also))


def load(folder: Path, manifest: Mapping[str, Any], build: Callable[[Mapping[str, Any]], nn.Module]) -> nn.Module:
    """The model, built from the manifest's architecture. Raises ModelProblem when anything is not as `save` left it."""
    verify(folder, manifest)
    try:
        model = build(manifest["architecture"])
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ModelProblem("The model's files are damaged or incomplete.") from error
    return model.eval()
