"""Checkpoints without pickle: arrays as safetensors, everything else as JSON, whole or not there.

<folder>/<step>/arrays.safetensors, state.json
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from trainers.files import newest_generation, write_generation, write_json_atomically
from trainers.keras_vision.backend import keras
from trainers.keras_vision.weights import finish_loading
from trainers.protocol import ModelProblem

FORMAT = 1
_ARRAYS, _STATE = "arrays.safetensors", "state.json"


def save(folder: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any], *, step: int) -> None:
    """Write both as the newest checkpoint; older ones go once it is safe on the disk. Raises OSError."""

    def write(draft: Path) -> None:
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, draft / _ARRAYS)
        write_json_atomically(draft / _STATE, {"format": FORMAT, **state})

    write_generation(folder, step, write)


def newest(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """(arrays, state) that were saved last; None where nothing was.

    Raises:
        ModelProblem: they are damaged, or of another format.
    """
    found = newest_generation(folder)
    if found is None:
        return None
    try:
        state = json.loads((found / _STATE).read_text(encoding="utf-8"))
        if state.pop("format") != FORMAT:
            raise ModelProblem("The checkpoint is of another version of this program.")
        return load_file(found / _ARRAYS), state
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelProblem("The checkpoint is damaged.") from error


def variables_of(what: str, variables: Sequence[Any]) -> dict[str, np.ndarray]:
    """{"<what>/<number>": value}. Names of variables are made up anew in every process, their order stays."""
    return {f"{what}/{number}": keras.ops.convert_to_numpy(each) for number, each in enumerate(variables)}


def set_variables(what: str, variables: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Assign what `variables_of` gave.

    Raises:
        ModelProblem: it is of another model.
    """
    given = [arrays.get(f"{what}/{number}") for number in range(len(variables))]
    for variable, array in zip(variables, given, strict=True):
        if array is None or array.shape != tuple(variable.shape):
            raise ModelProblem("The checkpoint is of another model.")
    for variable, array in zip(variables, given, strict=True):
        variable.assign(array)


def set_model(model: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Assign all variables of a model. Raises ModelProblem."""
    set_variables("model", model.variables, arrays)
    finish_loading(model)
