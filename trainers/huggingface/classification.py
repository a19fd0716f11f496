"""Classes of texts, by an architecture of transformers: `bert` and all others that have a head for it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer

from trainers.configs.huggingface import TransformersConfig
from trainers.deep import device, scores
from trainers.deep.classes import class_weights, names_of_outputs
from trainers.deep.loop import fit, stoppable
from trainers.deep.progress import END
from trainers.huggingface import networks
from trainers.huggingface.architectures import DROPOUTS, SPARE_POSITIONS, make_config
from trainers.huggingface.bases import base_config, base_folder, base_tokenizer, sequence_length
from trainers.protocol import ModelProblem, Reporter, Task, TrainResult, temperature_of
from trainers.text import tokens
from trainers.text.classify import ClassificationWork, Reader, answer, sequences
from trainers.text.inputs import texts_of
from trainers.text.labelled import TextSet, prepare

VOCABULARY = 8_192  # of a tokenizer made from the text, where vocab_size does not say
SAMPLE_CHARACTERS = 500  # of a text that the report shows
MAX_TEXTS = 10_000  # that one inference answers
BATCH = 32  # sequences that inference reads at once
SHORTEST = 8  # tokens of a sequence: the marks at both ends, and something between them


def train(config: TransformersConfig, data_path: Path, out: Path, reporter: Reporter, *, seed: int) -> TrainResult:
    """Train on the labelled texts at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)

    # Data
    data = prepare(config, data_path, reporter, seed=seed)
    classes, outputs = data.classes, config.num_classes or len(data.classes)

    # Model
    device.seed_everything(seed)
    model, tokenizer, length, padding = _model(config, data, compute, reporter)
    train_part, val_part, test_part = (
        sequences(tokenizer, [data.texts[place] for place in places], length)
        for places in (data.train, data.val, data.test)
    )
    if train_part.split or val_part.split:
        reporter.log(
            "INFO",
            f"{train_part.split + val_part.split} texts are longer than {length} tokens: they are split, and their "
            "scores averaged",
        )
    reader = Reader(model, padding, takes_mask=networks.takes(model, "attention_mask"), known=len(classes))
    longest = max(range(len(train_part)), key=lambda number: len(train_part.rows[number]))
    tried = train_part.padded([longest], padding)
    networks.try_out(model, config.architecture, tried if reader.takes_mask else {"input_ids": tried["input_ids"]})
    parameters = networks.parameters_of(model)
    reporter.log("INFO", f"{len(train_part):,} sequences of at most {length} tokens; {parameters:,} parameters")

    # Loop
    device.seed_everything(seed)
    labels = data.labels[data.train]
    work = ClassificationWork(
        reader,
        train=train_part,
        train_labels=labels,
        held_out=val_part,
        held_out_labels=data.labels[data.val],
        class_weights=class_weights(labels, outputs) if config.class_weight else None,
        label_smoothing=config.label_smoothing,
    )
    mark = _fingerprint(config, data, seed)
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=mark)

    # Artefacts
    reporter.progress(END, "scoring the held-out texts")
    with stoppable(model, reporter):
        probabilities = reader.probabilities(model, test_part, len(data.test), compute, progress.part)
    metrics, report = scores.classification(data.labels[data.test], probabilities, classes)
    report["samples"] = _samples(data, probabilities, classes)
    metrics |= progress.metrics(n_train=len(data.train), n_test=len(data.test), parameters=parameters)
    tokenizer.no_truncation()
    tokenizer.save(str(out / tokens.FILE))
    manifest = {
        "model_type": config.architecture,
        **compute.ran,
        "transformers_version": transformers.__version__,
        "task": "text_classification",
        "classes": classes,
        "text_column": config.text_column,
        "max_length": length,
        "padding": padding,
        "config": config.as_kept(),
        "seed": seed,
        "metrics": metrics,
    }
    networks.save(out, manifest, model)
    reporter.metrics(metrics)
    reporter.progress(1.0, "done")
    return TrainResult(
        metrics=metrics,
        folder=out,
        **compute.ran,
        task="text_classification",
        report=report,
        columns=TextClassifier.columns,
        target="class",
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> "TextClassifier":
    """The model that `train` saved. Raises ModelProblem."""
    compute = device.choose()
    model = networks.load(folder, manifest, "text_classification").to(compute.device)
    try:
        classes, length = [str(name) for name in manifest["classes"]], int(manifest["max_length"])
        takes_mask = networks.takes(model, "attention_mask")
        reader = Reader(model, int(manifest["padding"]), takes_mask=takes_mask, known=len(classes))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelProblem("The model's manifest is incomplete.") from error
    return TextClassifier(reader, tokens.load(folder), classes, length, compute, manifest.get("text_column"))


class TextClassifier:
    """Predicts the class of texts: a text, a list of texts, rows {"text": …}, or a file of these.

    `max_length` is how many tokens it reads at a time: longer texts are read in stretches, whose scores are averaged.
    """

    task: Task = "text_classification"
    columns = [{"name": "text", "kind": "text"}]

    def __init__(
        self,
        reader: Reader,
        tokenizer: Tokenizer,
        classes: list[str],
        length: int,
        compute: device.Compute,
        text_column: str | None = None,
    ) -> None:
        self.reader, self.tokenizer, self.classes = reader, tokenizer, classes
        self.length, self.compute, self.text_column = length, compute, text_column

    def predict(self, rows: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict_input(rows, parameters)

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """{"label", "score"[, "probabilities"][, "top_k"]} of each text. Raises DataProblem: something is no text."""
        asked = dict(parameters or {})
        texts = texts_of(input_data, column=self.text_column, most=MAX_TEXTS)
        length = max(min(int(asked.get("max_length") or self.length), self.length), SHORTEST)
        found = self.reader.probabilities(
            self.reader.model,
            sequences(self.tokenizer, texts, length),
            len(texts),
            self.compute,
            BATCH,
            temperature=temperature_of(asked),
        )
        return [answer(self.classes, row, asked) for row in found]


# --- Model -----------------------------------------------------------------------------------------------------------
def _model(
    config: TransformersConfig, data: TextSet, compute: device.Compute, reporter: Reporter
) -> tuple[Any, Tokenizer, int, int]:
    """(model, tokenizer, tokens of a sequence, the padding's token)."""
    outputs = names_of_outputs(data.classes, config.num_classes or len(data.classes))
    names = {"id2label": dict(enumerate(outputs)), "label2id": {name: number for number, name in enumerate(outputs)}}
    if config.base_model is None:
        learnt = [data.texts[place] for place in data.train]
        tokenizer = tokens.make_wordpiece(learnt, config.vocab_size or VOCABULARY)
        made = make_config(
            config,
            **names,
            **_marks(tokenizer),
            vocab_size=tokenizer.get_vocab_size(),
            max_position_embeddings=config.max_length + SPARE_POSITIONS,
        )
        padding = tokens.id_of(tokenizer, tokens.PAD)
        return networks.new("text_classification", made, compute), tokenizer, config.max_length, padding
    folder = base_folder(config)
    base = base_config(folder, config)
    tokenizer = base_tokenizer(folder, config)
    length = sequence_length(base, config, reporter)
    if base.pad_token_id is None:  # what is padded is masked; some only need to know where a text ends
        base.pad_token_id = tokens.end_of_text(tokenizer) or 0
    base.update(names)
    if config.dropout_rate is not None:
        base.update({name: config.dropout_rate for name in DROPOUTS if hasattr(base, name)})
    model = networks.from_weights("text_classification", folder, base, str(config.base_model))
    reporter.log("INFO", f"starts from the weights of {folder.name}")
    return model, tokenizer, length, int(base.pad_token_id)


def _marks(tokenizer: Tokenizer) -> dict[str, int]:
    """The special tokens, by the names that configs have for them."""
    ids = {name: tokens.id_of(tokenizer, name) for name in (tokens.PAD, tokens.UNKNOWN, tokens.CLS, tokens.SEP)}
    return {
        "pad_token_id": ids[tokens.PAD],
        "unk_token_id": ids[tokens.UNKNOWN],
        "bos_token_id": ids[tokens.CLS],
        "cls_token_id": ids[tokens.CLS],
        "eos_token_id": ids[tokens.SEP],
        "sep_token_id": ids[tokens.SEP],
        "decoder_start_token_id": ids[tokens.SEP],
    }


# --- Artefacts -------------------------------------------------------------------------------------------------------
def _samples(data: TextSet, probabilities: np.ndarray, classes: list[str]) -> list[dict[str, Any]]:
    """Held-out texts for the report: the surest mistakes and hits."""
    actual = data.labels[data.test]
    return [
        {
            "text": data.texts[data.test[row]][:SAMPLE_CHARACTERS],
            "label": classes[int(actual[row])],
            "predicted": classes[int(probabilities[row].argmax())],
            "score": float(probabilities[row].max()),
        }
        for row in scores.chosen(actual, probabilities)
    ]


def _fingerprint(config: TransformersConfig, data: TextSet, seed: int) -> str:
    """Of all that a checkpoint must have in common with the training that goes on with it."""
    versions = [torch.__version__, transformers.__version__]
    digest = hashlib.blake2b(
        json.dumps([versions, seed, config.architecture, config.decides()], sort_keys=True).encode()
    )
    for text, name in zip(data.texts, data.names, strict=True):
        digest.update(f"{len(text)} {text}\0{name}\0".encode("utf-8", "replace"))
    return digest.hexdigest()
