"""Initial weights from a file with torchvision's names."""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from trainers.protocol import ConfigProblem, Reporter

SAFE_LOADER = (2, 6)  # torch before it runs code from files even with `weights_only` (CVE-2025-32434)
_WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")  # what DistributedDataParallel and torch.compile put before names
_TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


def start_from(model: nn.Module, path: Path, reporter: Reporter) -> None:
    """Put a file's tensors into the model. A last layer of another number of classes stays new, and so does a first
    layer of another size.

    Raises:
        ConfigProblem: the file cannot be read, or is of another network.
    """
    given = {_WRAPPERS.sub("", str(name)): tensor for name, tensor in _read(path).items()}
    wanted = model.state_dict()
    fitting = {name: tensor for name, tensor in given.items() if name in wanted and tensor.shape == wanted[name].shape}
    # Files from before torch 0.4 do not count a batch norm's batches.
    missing = [name for name in wanted if name not in given and not name.endswith(".num_batches_tracked")]
    unknown = [name for name in given if name not in wanted]
    odd = [name for name in wanted if name in given and name not in fitting]
    head = str(model.head)
    elsewhere = [name for name in odd if not name.startswith((head, "conv1.", "features.0.", "classifier."))]
    if missing or unknown or elsewhere:
        what = (missing or unknown or elsewhere)[0]
        raise _problem(f"is no file of this network's weights: {len(fitting)} of {len(wanted)} fit ({what} does not).")
    model.load_state_dict({**wanted, **fitting})
    kept = f"; new: {', '.join(odd)}" if odd else ""
    reporter.log("INFO", f"starts from {path.name}: {len(fitting)} of {len(wanted)} tensors{kept}")


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if _TORCH < SAFE_LOADER:
            raise _problem(
                f"must be .safetensors here: only from torch {SAFE_LOADER[0]}.{SAFE_LOADER[1]} on is "
                "another file of weights read without running what may be in it."
            )
        # Tensors and plain containers only: nothing in the file is executed.
        given = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _problem(f'names "{path.name}", which is not there.') from error
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError, KeyError) as error:
        raise _problem(f'names "{path.name}", which holds no weights that can be read safely.') from error
    except Exception as error:  # unpickling refuses in its own class, which lies in a private module
        if type(error).__name__ != "UnpicklingError":
            raise
        raise _problem(f'names "{path.name}", which holds more than tensors; save it as .safetensors.') from error
    if isinstance(given, dict) and isinstance(given.get("state_dict"), dict):
        given = given["state_dict"]
    if not isinstance(given, dict) or not all(isinstance(each, torch.Tensor) for each in given.values()):
        raise _problem(f'names "{path.name}", which holds no named tensors.')
    return given


def _problem(sentence: str) -> ConfigProblem:
    return ConfigProblem(f"weights {sentence}", details={"weights": [sentence]})
