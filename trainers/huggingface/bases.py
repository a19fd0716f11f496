"""Models to start from: a folder of the model folder, a model trained here, or one of the Hub where that is allowed."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from trainers.configs.huggingface import TransformersConfig
from trainers.huggingface import HUB_ALLOWED
from trainers.protocol import ConfigProblem, Reporter
from trainers.text import tokens

CONFIG = "config.json"


def base_folder(config: TransformersConfig) -> Path:
    """The folder of `base_model`, fetched first where it is a Hub id and the operator allows the Hub.

    Raises:
        ConfigProblem: there is no model of this architecture there.
    """
    name = str(config.base_model)
    folder = Path(name)
    if not folder.is_dir():
        folder = _fetched(name)
    if not (folder / CONFIG).is_file() or (folder / "adapter_config.json").exists():
        raise no_base(name, "holds no model of Hugging Face's format (config.json, model.safetensors, tokenizer.json).")
    return folder


def base_config(folder: Path, config: TransformersConfig) -> Any:
    """The base model's config. Raises ConfigProblem: it cannot be read, or is of another architecture."""
    try:
        found = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library raises many things for what it cannot read
        raise no_base(str(config.base_model), f"has a config that cannot be read: {line(error)}") from error
    if found.model_type != config.architecture:
        raise no_base(
            str(config.base_model),
            f'is a {found.model_type}, not a {config.architecture}: use it as model_type "{found.model_type}".',
        )
    own = config.own_fields()
    if own:
        field = next(iter(own))
        raise ConfigProblem(
            f"{field} is the base model's own: leave it out, or leave base_model out.",
            details={name: ["is the base model's own: leave it out, or leave base_model out."] for name in own},
        )
    return found


def base_tokenizer(folder: Path, config: TransformersConfig) -> Tokenizer:
    """The tokenizer that the base model was trained with. Raises ConfigProblem: there is none that can be read."""
    if not (folder / tokens.FILE).is_file():  # older models have a list of words only
        try:
            found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return Tokenizer.from_str(found.backend_tokenizer.to_str())
        except Exception as error:  # the library raises many things for what it cannot read
            raise no_base(str(config.base_model), f"has no tokenizer that can be read: {line(error)}") from error
    return tokens.given(folder, field="base_model")


def sequence_length(base: Any, config: TransformersConfig, reporter: Reporter) -> int:
    """Tokens of a sequence: as asked, at most what the base model has places for."""
    places = getattr(base, "max_position_embeddings", None)
    if not isinstance(places, int) or places <= 0:
        return config.max_length
    most = places - places % 8  # 514 of RoBERTa, which begins to count at 2
    if config.max_length > most:
        reporter.log("INFO", f"the base model sees at most {most} tokens at once: longer texts are split there")
    return min(config.max_length, most)


def _fetched(name: str) -> Path:
    if not HUB_ALLOWED:
        raise no_base(name, "is not in the model folder (/models/…), and this worker may not ask the Hub.")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "vocab.txt", "merges.txt"]))
    except Exception as error:  # the library, its transport and the network each raise their own
        raise no_base(name, f"could not be fetched from the Hub: {line(error)}") from error


def line(error: Exception) -> str:
    """The first line that an error says."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def no_base(name: str, sentence: str) -> ConfigProblem:
    """The exception for a base model that cannot be used."""
    shown = f'"{Path(name).name if name.startswith("/") else name[:100]}" {sentence}'
    return ConfigProblem(f"base_model {shown}", details={"base_model": [shown]})
