"""Checkpoints without pickle: tensors as safetensors, everything else as JSON, whole or not there.

    <folder>/<step>/tensors.safetensors, state.json

A state is any nest of dicts (of any simple keys), lists, tuples, numbers, texts, tensors and numpy arrays, as the
`state_dict()`s of models, optimizers and scalers and the states of random generators are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from trainers.files import newest_generation, write_generation, write_json_atomically
from trainers.protocol import ModelProblem

FORMAT = 1
_TENSORS, _STATE = "tensors.safetensors", "state.json"


def save(folder: Path, state: Mapping[str, Any], *, step: int) -> None:
    """Write the state as the newest checkpoint; older ones go once it is safe on the disk. Raises OSError."""
    tensors: dict[str, torch.Tensor] = {}
    packed = _pack(dict(state), tensors)

    def write(draft: Path) -> None:
        save_file(tensors, draft / _TENSORS)
        write_json_atomically(draft / _STATE, {"format": FORMAT, "state": packed})

    write_generation(folder, step, write)


def newest(folder: Path) -> dict[str, Any] | None:
    """The state that was saved last; None where nothing was.

    Raises:
        ModelProblem: it is damaged, or of another format.
    """
    found = newest_generation(folder)
    return None if found is None else _load(found)


def _load(folder: Path) -> dict[str, Any]:
    try:
        written = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if written["format"] != FORMAT:
            raise ModelProblem(f"The checkpoint has format {written['format']}; this version reads {FORMAT}.")
        state = _unpack(written["state"], load_file(folder / _TENSORS))
    except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as error:
        raise ModelProblem("The checkpoint is damaged.") from error
    if not isinstance(state, dict):
        raise ModelProblem("The checkpoint is damaged.")
    return state


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """As JSON, with each tensor replaced by its name in `tensors`."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # A copy: two names of one memory (tied weights) cannot be written.
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"$tensor": name}
    if isinstance(value, np.ndarray):
        # Not as a torch tensor: old versions know no unsigned types.
        return {"$array": value.tolist(), "type": value.dtype.str}
    if isinstance(value, Mapping):
        return {"$dict": [[_pack(key, tensors), _pack(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"$tuple": [_pack(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_pack(each, tensors) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"$float": repr(value)}
    return value


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$array" in value:
        return np.array(value["$array"], dtype=np.dtype(value["type"]))
    if "$dict" in value:
        return {_unpack(key, tensors): _unpack(each, tensors) for key, each in value["$dict"]}
    if "$tuple" in value:
        return tuple(_unpack(each, tensors) for each in value["$tuple"])
    return float(value["$float"])
