"""Networks of an architecture: with new weights, from a folder of weights, and as they are saved."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from trainers.deep.device import Compute, is_out_of_memory
from trainers.deep.manifest import seal, verify
from trainers.deep.memory import check_room
from trainers.huggingface.architectures import Head, unfit
from trainers.huggingface.bases import line, no_base
from trainers.protocol import ConfigProblem, ModelProblem

AUTO: Mapping[Head, Any] = {
    "text_classification": AutoModelForSequenceClassification,
    "causal": AutoModelForCausalLM,
    "masked": AutoModelForMaskedLM,
    "image_classification": AutoModelForImageClassification,
}


# --- New -------------------------------------------------------------------------------------------------------------
def new(head: Head, config: Any, compute: Compute) -> nn.Module:
    """A network with new weights. Raises ConfigProblem where the settings do not fit each other or the memory."""
    name = config.model_type
    check_room(_count(head, config), compute, name)
    try:
        model: nn.Module = AUTO[head].from_config(config)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise unfit(name, error) from error
    return model.float()


def _count(head: Head, config: Any) -> int:
    """The parameters of such a network, without the memory for them; 0 where that cannot be told."""
    try:
        with torch.device("meta"):
            return parameters_of(AUTO[head].from_config(config))
    except Exception as error:  # whatever an architecture's code raises for settings that do not fit
        if "meta tensor" in str(error):  # some compute while they are built, which tensors without content cannot
            return 0
        raise unfit(config.model_type, error) from error


def try_out(model: nn.Module, name: str, inputs: Mapping[str, torch.Tensor]) -> None:
    """One forward pass of one example on the CPU, which says what does not fit. Raises ConfigProblem."""
    model.eval()
    try:
        with torch.inference_mode():
            model(**{key: each[:1] for key, each in inputs.items()})
    except Exception as error:  # whatever an architecture's code raises for settings that do not fit
        if is_out_of_memory(error):
            raise
        raise unfit(name, error) from error


def check_causal(model: nn.Module, name: str, tokens: torch.Tensor) -> None:
    """Raises ConfigProblem where the model, which is to tell each next token, sees it before."""
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % int(tokens.max() + 1)
    model.eval()
    with torch.inference_mode():
        before, after = (model(input_ids=each[:1]).logits[:, :-1] for each in (tokens, other))
    if tokens.shape[1] > 1 and not torch.allclose(before, after, atol=1e-3):
        sentence = f"{name} sees the tokens that come: it cannot learn to go on with a text. Give it labelled texts."
        raise ConfigProblem(sentence, details={"task": [sentence]})


def parameters_of(model: nn.Module) -> int:
    """How many numbers are learnt."""
    return sum(each.numel() for each in model.parameters())


def takes(model: nn.Module, argument: str) -> bool:
    """Whether the model's forward pass has that argument."""
    return argument in inspect.signature(model.forward).parameters


# --- From weights ----------------------------------------------------------------------------------------------------
def from_weights(head: Head, folder: Path, config: Any, what: str) -> Any:
    """The network with a folder's weights; a last layer of another number of classes is new. Raises ConfigProblem."""
    try:
        model: nn.Module = AUTO[head].from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # the library raises many things for what it cannot read
        if is_out_of_memory(error):
            raise
        raise no_base(what, f"has no weights that can be read safely (model.safetensors): {line(error)}") from error
    return model.float()


# --- At rest ---------------------------------------------------------------------------------------------------------
def save(folder: Path, manifest: Mapping[str, Any], model: Any) -> None:
    """Write the model as transformers does, so that it can be read with it too, then the manifest over all files."""
    model.save_pretrained(folder)
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "model.json")
    seal(folder, manifest, files)


def load(folder: Path, manifest: Mapping[str, Any], head: Head) -> nn.Module:
    """The model that `save` wrote. Raises ModelProblem."""
    verify(folder, manifest)
    try:
        model: nn.Module = AUTO[head].from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except Exception as error:  # the library raises many things for what it cannot read
        if is_out_of_memory(error):
            raise
        raise ModelProblem("The model's files are damaged or incomplete.") from error
    return model.float().eval()
