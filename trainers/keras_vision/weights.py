"""Initial weights from a file of Keras: `.keras`, `.weights.h5`, or the older `.h5`.

Only arrays are read, each of exactly the shape that the network has: nothing in the file is built or executed.
"""

import contextlib
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from trainers.keras_vision.backend import keras
from trainers.protocol import ConfigProblem, Reporter

# Keras' own files of EfficientNet's weights hold standard deviations where the layer expects variances; its code
# divides once more by their roots when it has downloaded them itself.
DEVIATIONS = (0.229, 0.224, 0.225)

Arrays = list[h5py.Dataset]


def start_from(model: Any, path: Path, reporter: Reporter) -> None:
    """Put a file's arrays into the model. A head that it lacks, or has for another number of classes, stays new.

    Raises:
        ConfigProblem: the file cannot be read, or is of another network.
    """
    layers = [layer for layer in model.layers if layer.weights]
    head = layers[_after_norms(layers) :]
    with _opened(path) as file:
        given = _by_structure(file, model) if "layers" in file else _by_order(file, layers)
        fitting = [layer for layer in layers if _shapes(given.get(layer.name, [])) == _shapes(layer.weights)]
        new = [layer for layer in layers if layer not in fitting]
        for layer in new:
            if layer is not layers[-1] and (layer not in head or given.get(layer.name)):
                raise _problem(
                    f"is no file of this network's weights: {len(fitting)} of {len(layers)} layers fit "
                    f"({layer.name} does not)."
                )
        for layer in fitting:
            for weight, array in zip(layer.weights, given[layer.name], strict=True):
                weight.assign(array[()])
    _square_deviations(model)
    finish_loading(model)
    kept = f"; new: {', '.join(layer.name for layer in new)}" if new else ""
    reporter.log("INFO", f"starts from {path.name}: {len(fitting)} of {len(layers)} layers{kept}")


def finish_loading(model: Any) -> None:
    """To be called when variables of the model were assigned: some layers keep what follows from them."""
    for layer in _normalizations(model):
        layer.finalize_state()


def _square_deviations(model: Any) -> None:
    for layer in _normalizations(model):
        variance = layer.weights[1]
        if np.allclose(keras.ops.convert_to_numpy(variance), DEVIATIONS, atol=1e-4):
            variance.assign(keras.ops.square(variance))


def _normalizations(model: Any) -> list[Any]:
    """Those of pixels, with a mean and a variance that files hold."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization) and layer.weights]


def _shapes(arrays: Sequence[Any]) -> list[tuple[int, ...]]:
    return [tuple(array.shape) for array in arrays]


def _after_norms(layers: list[Any]) -> int:
    """Where the head begins: behind the last batch norm."""
    norms = [place for place, layer in enumerate(layers) if isinstance(layer, keras.layers.BatchNormalization)]
    return norms[-1] + 1


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.Group]:
    """The group of the file that holds the weights."""
    try:
        with contextlib.ExitStack() as stack:
            if zipfile.is_zipfile(path):
                archive = stack.enter_context(zipfile.ZipFile(path))
                inner = stack.enter_context(archive.open("model.weights.h5"))
                file = stack.enter_context(h5py.File(inner, "r"))
            else:
                file = stack.enter_context(h5py.File(path, "r"))
            yield _group(file, "model_weights") if "model_weights" in file else file
    except FileNotFoundError as error:
        raise _problem(f'names "{path.name}", which is not there.') from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile) as error:
        raise _problem(f'names "{path.name}", which holds no weights that can be read: {error}') from error


def _by_structure(file: h5py.Group, model: Any) -> dict[str, Arrays]:
    """Keras 3: `layers/<class>[_<number of that class>]/vars/<number>`."""
    found, seen = {}, Counter[str]()
    for layer in model.layers:
        kind = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        name = f"{kind}_{seen[kind]}" if seen[kind] else kind
        seen[kind] += 1
        if layer.weights:
            variables = _group(file, f"layers/{name}/vars")
            numbers = range(len(variables or ()))
            found[layer.name] = [_dataset(variables, str(number)) for number in numbers]
    return found


def _by_order(file: h5py.Group, layers: list[Any]) -> dict[str, Arrays]:
    """Keras 1 and 2: the names of layers and of their weights are attributes; only their order counts."""
    groups = [_group(file, name) for name in _names(file, "layer_names")]
    given = [[_dataset(group, name) for name in _names(group, "weight_names")] for group in groups]
    with_weights = [arrays for arrays in given if arrays]
    return {layer.name: arrays for layer, arrays in zip(layers, with_weights, strict=False)}


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; a long one lies in several attributes, numbered from 0."""
    pieces = [group.attrs[attribute]] if attribute in group.attrs else []
    while f"{attribute}{len(pieces)}" in group.attrs:
        pieces.append(group.attrs[f"{attribute}{len(pieces)}"])
    if not pieces:
        raise KeyError(f"{attribute} is missing")
    return [name.decode() if isinstance(name, bytes) else str(name) for piece in pieces for name in piece]


def _group(parent: h5py.Group, path: str) -> Any:
    """The group at that path; None where there is none. Raises ValueError as `_inside` does."""
    found = _inside(parent, path)
    return found if isinstance(found, h5py.Group) else None


def _dataset(parent: h5py.Group | None, path: str) -> h5py.Dataset:
    """Raises KeyError, ValueError where it is no plain array of numbers within the file."""
    found = _inside(parent, path)
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{path} is missing")
    if found.external or found.is_virtual or found.dtype.kind not in "fiu":
        raise ValueError(f"{path} is no plain array of numbers")
    return found


def _inside(parent: h5py.Group | None, path: str) -> Any:
    """What lies there. Raises ValueError where a link leads elsewhere: to another file of this machine, for one."""
    found: Any = parent
    for name in path.split("/"):
        if not isinstance(found, h5py.Group) or name not in found:
            return None
        if not isinstance(found.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{path} is a link")
        found = found[name]
    return found


def _problem(sentence: str) -> ConfigProblem:
    return ConfigProblem(f"weights {sentence}", details={"weights": [sentence]})
