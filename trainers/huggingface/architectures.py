"""Which architectures there are, what each can learn, and a config of one from hyperparameters."""

import dataclasses
import difflib
import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import transformers
from transformers import AutoConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

from trainers.configs.checks import SHOWN
from trainers.configs.huggingface import TransformersConfig
from trainers.protocol import ConfigProblem
from trainers.registry import TRAINERS

transformers.logging.set_verbosity_error()  # its advice is about code, which the user of a job does not see
transformers.logging.disable_progress_bar()

Head = Literal["text_classification", "causal", "masked", "image_classification"]
HEADS: Mapping[Head, Mapping[str, Any]] = {
    "text_classification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "masked": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    "image_classification": modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
}
BERT_MINI = {"num_layers": 4, "hidden_size": 256}  # Turc et al. 2019, https://arxiv.org/abs/1908.08962
HEAD_WIDTH = 64  # of attention, in nearly all published models
SPARE_POSITIONS = 8  # some architectures begin to count behind the padding token's number

# What architectures call what is four times the width, and shares that are left out.
_WIDENED = ("intermediate_size", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim", "ffn_dim", "d_ff")
DROPOUTS = (
    "dropout",
    "dropout_rate",
    "hidden_dropout",
    "hidden_dropout_prob",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "hidden_dropout_rate",
)
# Fields that would fetch something, or that the trainer sets itself.
_CLOSED = ("backbone", "backbone_config", "backbone_kwargs", "use_timm_backbone", "use_pretrained_backbone", "auto_map")


def heads(name: str) -> list[Head]:
    """What the architecture can be trained for. Raises ConfigProblem, naming the nearest, where there is none."""
    found = [head for head, names in HEADS.items() if name in names]
    if found:
        return found
    if name in CONFIG_MAPPING_NAMES:
        raise _unknown(name, "is an architecture for neither text nor images of classes", _trainable())
    raise _unknown(name, f"is no model type here, and none of transformers {transformers.__version__}", _trainable())


def language_head(name: str) -> Head:
    """How the architecture learns language: the next token, or hidden ones.

    Encoders (BERT and its kin) can be asked for the next token too, which they would see before they tell it.
    """
    possible = heads(name)
    if "causal" in possible and ("masked" not in possible or CONFIG_MAPPING[name]().is_encoder_decoder):
        return "causal"
    return "masked"


@lru_cache(maxsize=64)
def fields_of(name: str) -> frozenset[str]:
    """The fields of the architecture's own config, by their own and by their common names."""
    config = CONFIG_MAPPING[name]
    own = _arguments(config) - _arguments(transformers.PretrainedConfig)
    return frozenset((own | set(config.attribute_map)) - set(_CLOSED))


def make_config(config: TransformersConfig, **given: Any) -> Any:
    """The architecture's config (a PretrainedConfig) for hyperparameters; `given` is what the data decides, by
    transformers' common names.

    Raises:
        ConfigProblem: a field that the architecture does not have, or a value that it does not take.
    """
    name = config.architecture
    known, own = fields_of(name), config.own_fields()
    _check_own(name, own, known)
    its_names = CONFIG_MAPPING[name].attribute_map  # "hidden_size" is "dim" to distilbert
    fields: dict[str, Any] = {}
    for values in (own, _shape(config, known), given):  # what comes first counts
        for field, value in values.items():
            if field in known or field.endswith("_token_id") or field in ("id2label", "label2id"):
                fields.setdefault(its_names.get(field, field), value)
    try:
        return AutoConfig.for_model(name, **fields)
    except Exception as error:  # configs compute with what they are given, and raise whatever comes of it
        raise unfit(name, error) from error


def unfit(name: str, error: Exception) -> ConfigProblem:
    """The exception for settings that an architecture does not work with."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return ConfigProblem(
        f"{name} does not work with these settings: {lines[-1][:300]}", details={"hyperparameters": [lines[-1][:300]]}
    )


def _arguments(config: type) -> set[str]:
    if dataclasses.is_dataclass(config):
        return {field.name for field in dataclasses.fields(config)}
    return set(inspect.signature(config.__init__).parameters) - {"self", "kwargs"}  # type: ignore[misc]


def _shape(config: TransformersConfig, known: frozenset[str]) -> dict[str, Any]:
    """The family's settings by the architecture's names; what follows from them too."""
    asked = {name: getattr(config, name) for name in ("num_layers", "num_heads", "hidden_size")}
    if config.architecture == "bert":
        asked = {name: BERT_MINI.get(name) if value is None else value for name, value in asked.items()}
    if asked["hidden_size"] and not asked["num_heads"]:
        asked["num_heads"] = max(asked["hidden_size"] // HEAD_WIDTH, 1)
    common = {"num_layers": "num_hidden_layers", "num_heads": "num_attention_heads", "hidden_size": "hidden_size"}
    fields: dict[str, Any] = {}
    for name, value in asked.items():
        if value is None:
            continue
        if common[name] not in known:
            if getattr(config, name) is None:
                continue
            raise _unknown_fields(config.architecture, {name: value}, known)
        fields[common[name]] = value
    if asked["hidden_size"]:
        fields |= {name: 4 * asked["hidden_size"] for name in _WIDENED if name in known}
    if asked["num_heads"] and "num_key_value_heads" in known:
        fields["num_key_value_heads"] = asked["num_heads"]
    if config.dropout_rate is not None:
        fields |= {name: config.dropout_rate for name in DROPOUTS if name in known}
    return fields


def _check_own(name: str, own: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = {field: value for field, value in own.items() if field not in known}
    if unknown:
        raise _unknown_fields(name, unknown, known)


def _unknown_fields(name: str, unknown: Mapping[str, Any], known: frozenset[str]) -> ConfigProblem:
    names = sorted({*known, *TransformersConfig.model_fields})
    problems = {}
    for field in list(unknown)[:20]:
        near = difflib.get_close_matches(str(field)[:SHOWN], names, n=1, cutoff=0.6)
        hint = f'Did you mean "{near[0]}"?' if near else f"{name} has: {', '.join(sorted(known))}."
        problems[str(field)[:SHOWN]] = [f"is no hyperparameter of {name}. {hint}"]
    field, sentences = next(iter(problems.items()))
    return ConfigProblem(f"{field} {sentences[0]}", details=problems)


def _trainable() -> list[str]:
    return sorted({*TRAINERS, *(name for names in HEADS.values() for name in names)})


def _unknown(name: str, sentence: str, names: list[str]) -> ConfigProblem:
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    listed = f"There are {', '.join(sorted(TRAINERS))}, and transformers' own."
    hint = f"Did you mean {' or '.join(near)}?" if near else listed
    return ConfigProblem(f'"{name}" {sentence}. {hint}', details={"model_type": [sentence], "nearest": near})
