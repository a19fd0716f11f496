"""`gpt` and `transformer`: causal language modelling in plain torch, with a tokenizer made from the text."""

import hashlib
import json
import math
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.configs.text import GPTConfig, LanguageConfig, TransformerConfig
from trainers.deep import device, store
from trainers.deep.loop import fit
from trainers.deep.progress import END
from trainers.protocol import DataProblem, ModelProblem, Reporter, TrainResult
from trainers.text import corpus, tokens
from trainers.text.gpt import GPT
from trainers.text.predictor import TextGenerator
from trainers.text.transformer import Transformer
from trainers.text.windows import LanguageWork, Windows

MODEL_TYPES: dict[type[LanguageConfig], str] = {GPTConfig: "gpt", TransformerConfig: "transformer"}
LEAST_TOKENS = 16  # of each part


def train(config: LanguageConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the documents at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)
    seed = config.random_state if config.random_state is not None else secrets.randbelow(2**32)
    reporter.log("INFO", f"computes on {compute.name}, seed {seed}")

    # Data
    texts = corpus.documents(data_path, reporter, text_column=config.text_column)
    learnt, held = _split(texts, config.validation_split, seed)
    tokenizer = tokens.make(learnt, config.vocab_size)
    vocabulary = tokenizer.get_vocab_size()
    train_part = Windows(_row(tokenizer, learnt, "to learn from"), config.max_length)
    held_part = Windows(_row(tokenizer, held, "held out"), config.max_length)
    reporter.log(
        "INFO",
        f"{corpus.told(texts)}; {len(train_part.tokens):,} tokens to learn from in {train_part.count} sequences, "
        f"{len(held_part.tokens):,} held out; vocabulary {vocabulary:,}",
    )

    # Model
    device.seed_everything(seed)
    shape = architecture(config, vocabulary)
    model = build(shape)
    reporter.log("INFO", f"{sum(each.numel() for each in model.parameters()):,} parameters")

    # Loop
    work = LanguageWork(model, train_part, held_part)
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=_fingerprint(config, texts, seed))

    # Artefacts
    reporter.progress(END, "scoring the held-out text")
    scored = work.evaluate(model, compute, progress.part)
    metrics = {
        "loss": scored["val_loss"],
        "perplexity": scored["val_perplexity"],
        "bits_per_byte": _bits_per_byte(scored["val_loss"], held_part, held),
        "training_time": progress.seconds,
        "epochs": float(progress.epoch),
        "best_epoch": float(progress.best_epoch),
        "n_train": float(len(train_part.tokens)),
        "n_test": float(len(held_part.tokens)),
        "parameters": float(sum(each.numel() for each in model.parameters())),
    }
    manifest = {
        "model_type": MODEL_TYPES[type(config)],
        "framework": "pytorch",
        "framework_version": torch.__version__,
        "backend": compute.backend,
        "device": compute.name,
        "task": "language_modelling",
        "architecture": shape,
        "config": config.model_dump(mode="json"),
        "seed": seed,
        "metrics": metrics,
    }
    tokenizer.save(str(out / tokens.FILE))
    store.save(out, manifest, model, also=[tokens.FILE])
    reporter.metrics(metrics)
    reporter.progress(1.0, "done")
    return TrainResult(
        metrics=metrics,
        folder=out,
        framework="pytorch",
        framework_version=torch.__version__,
        backend=compute.backend,
        device=compute.name,
        task="language_modelling",
        columns=[{"name": "text", "kind": "text"}],
        target="next token",
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> TextGenerator:
    """The model that `train` saved. Raises ModelProblem."""
    model = store.load(folder, manifest, build)
    return TextGenerator(model, tokens.load(folder), device.choose())


def architecture(config: LanguageConfig, vocabulary: int) -> dict[str, Any]:
    """What `build` needs, as the manifest keeps it."""
    return {
        "name": MODEL_TYPES[type(config)],
        "vocabulary": vocabulary,
        "context": config.max_length,
        "layers": config.num_layers,
        "heads": config.heads,
        "width": config.hidden_size,
        "dropout": config.dropout_rate,
    }


def build(shape: Mapping[str, Any]) -> nn.Module:
    """A model with new weights."""
    kinds: dict[str, type[GPT] | type[Transformer]] = {"gpt": GPT, "transformer": Transformer}
    arguments = dict(shape)
    name = arguments.pop("name")
    if name not in kinds:
        raise ModelProblem(f"There is no language model {str(name)[:50]!r}.")
    return kinds[name](**arguments)


def _split(texts: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Documents to learn from and held-out ones; of a few, the end of each is held out."""
    if len(texts) >= 20:
        order = np.random.default_rng(seed).permutation(len(texts))
        count = max(round(len(texts) * share), 1)
        held = set(order[:count].tolist())
        return [t for i, t in enumerate(texts) if i not in held], [texts[i] for i in sorted(held)]
    edges = [math.ceil(len(text) * (1 - share)) for text in texts]
    return [t[:e] for t, e in zip(texts, edges, strict=True)], [
        t[e:] for t, e in zip(texts, edges, strict=True) if t[e:]
    ]


def _row(tokenizer: Any, texts: Sequence[str], what: str) -> np.ndarray:
    row = tokens.row_of(tokenizer, texts)
    if len(row) < LEAST_TOKENS:
        raise DataProblem(f"There are only {len(row)} tokens {what}; give more text.")
    return row


def _bits_per_byte(loss: float, part: Windows, texts: Sequence[str]) -> float:
    """The loss in a unit that does not depend on the tokenizer."""
    return loss / math.log(2) * (len(part.tokens) - 1) / sum(len(text.encode()) for text in texts)


def _fingerprint(config: LanguageConfig, texts: Sequence[str], seed: int) -> str:
    digest = hashlib.blake2b(json.dumps([torch.__version__, seed, config.decides()], sort_keys=True).encode())
    for text in texts:
        digest.update(f"{len(text)} {text}".encode("utf-8", "replace"))
    return digest.hexdigest()
