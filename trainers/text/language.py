"""`gpt` and `transformer`: causal language modelling in plain torch, with a tokenizer made from the text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainers.configs.text import GPTConfig, LanguageConfig, TransformerConfig
from trainers.deep import device, store
from trainers.deep.loop import fit
from trainers.deep.memory import check_room
from trainers.deep.progress import END
from trainers.deep.seed import seed_of
from trainers.protocol import ModelProblem, Reporter, TrainResult
from trainers.text import tokens
from trainers.text.gpt import GPT
from trainers.text.predictor import TextGenerator, generated
from trainers.text.prepare import prepare
from trainers.text.transformer import Transformer
from trainers.text.windows import LanguageWork

MODEL_TYPES: dict[type[LanguageConfig], str] = {GPTConfig: "gpt", TransformerConfig: "transformer"}


def train(config: LanguageConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on the documents at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)
    seed = seed_of(config.random_state, reporter)
    reporter.log("INFO", f"computes on {compute.name}, seed {seed}")

    # Data
    texts = prepare(
        data_path,
        reporter,
        text_column=config.text_column,
        held_out=config.validation_split,
        seed=seed,
        length=config.max_length,
        vocabulary=config.vocab_size,
        tokenizer=tokens.with_end(tokens.given(Path(config.tokenizer))) if config.tokenizer else None,
    )

    # Model
    device.seed_everything(seed)
    shape = architecture(config, texts.tokenizer.get_vocab_size())
    with torch.device("meta"):  # without the memory for it
        parameters = sum(each.numel() for each in build(shape).parameters())
    check_room(parameters, compute, MODEL_TYPES[type(config)])
    model = build(shape)
    reporter.log("INFO", f"{parameters:,} parameters")

    # Loop
    work = LanguageWork(model, texts.train, texts.held_out)
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=texts.fingerprint(config, seed))

    # Artefacts
    reporter.progress(END, "saving the model")
    scored = progress.best_metrics  # the model has that epoch's weights
    metrics = {
        "loss": scored["val_loss"],
        "perplexity": scored["val_perplexity"],
        "bits_per_byte": texts.bits_per_byte(scored["val_loss"]),
        **progress.metrics(n_train=len(texts.train.tokens), n_test=len(texts.held_out.tokens), parameters=parameters),
    }
    manifest = {
        "model_type": MODEL_TYPES[type(config)],
        **compute.ran,
        "task": "language_modelling",
        "architecture": shape,
        "config": config.as_kept(),
        "seed": seed,
        "metrics": metrics,
    }
    texts.tokenizer.save(str(out / tokens.FILE))
    store.save(out, manifest, model, also=[tokens.FILE])
    reporter.metrics(metrics)
    report = {"generated": generated(TextGenerator(model, texts.tokenizer, compute), texts.documents)}
    reporter.progress(1.0, "done")
    return TrainResult(
        metrics=metrics,
        folder=out,
        **compute.ran,
        task="language_modelling",
        report=report,
        columns=TextGenerator.columns,
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
