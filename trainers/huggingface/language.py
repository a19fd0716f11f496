"""Language modelling by an architecture of transformers: the next token, or hidden ones (BERT's kind)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from torch import nn
from transformers import StoppingCriteria, StoppingCriteriaList

from trainers.configs.huggingface import TransformersConfig
from trainers.deep import device
from trainers.deep.loop import fit
from trainers.deep.progress import END
from trainers.huggingface import networks
from trainers.huggingface.architectures import SPARE_POSITIONS, Head, language_head, make_config
from trainers.huggingface.bases import base_config, base_folder, base_tokenizer, sequence_length
from trainers.protocol import (
    ConfigProblem,
    DataProblem,
    ModelProblem,
    Reporter,
    Task,
    TrainResult,
    temperature_of,
)
from trainers.text import tokens
from trainers.text.generation import BATCH, Continuation, Sampling, cut, stops
from trainers.text.inputs import texts_of
from trainers.text.masking import MaskedWork
from trainers.text.predictor import MAX_PROMPTS, generated
from trainers.text.prepare import Texts, prepare
from trainers.text.windows import LanguageWork

VOCABULARY = 8_192  # of a tokenizer made from the text, where vocab_size does not say
SPECIAL = (tokens.END, tokens.PAD, tokens.MASK)
TOP_FILLS = 5  # tokens that are told for a masked place, where top_k does not say


def train(config: TransformersConfig, data_path: Path, out: Path, reporter: Reporter, *, seed: int) -> TrainResult:
    """Train on the documents at `data_path`; the model goes to `out`. Raises TrainerError, Stopped."""
    compute = device.choose(config.device, config.precision)
    name = config.architecture
    head = language_head(name)
    task: Task = "language_modelling" if head == "causal" else "masked_language_modelling"

    # Data
    folder = base_folder(config) if config.base_model else None
    base = base_config(folder, config) if folder else None
    length = sequence_length(base, config, reporter) if base else config.max_length
    texts = prepare(
        data_path,
        reporter,
        text_column=config.text_column,
        held_out=config.validation_split,
        seed=seed,
        length=length,
        vocabulary=config.vocab_size or VOCABULARY,
        tokenizer=tokens.with_end(base_tokenizer(folder, config)) if folder else None,
        special=SPECIAL,
    )

    # Model
    device.seed_everything(seed)
    if folder is not None and base is not None:
        model = networks.from_weights(head, folder, base, str(config.base_model))
        if texts.tokenizer.get_vocab_size() > base.vocab_size:  # it had no token for the end of a text
            model.resize_token_embeddings(texts.tokenizer.get_vocab_size())
        reporter.log("INFO", f"starts from the weights of {folder.name}")
    else:
        made = make_config(
            config,
            **_marks(texts.tokenizer),
            vocab_size=texts.tokenizer.get_vocab_size(),
            max_position_embeddings=length + SPARE_POSITIONS,
            is_decoder=head == "causal",
        )
        model = networks.new(head, made, compute)
    example = texts.train.batch([0])["inputs"]
    networks.try_out(model, name, {"input_ids": example})
    if head == "causal":
        networks.check_causal(model, name, example)
    parameters = networks.parameters_of(model)
    reporter.log("INFO", f"{'the next token' if head == 'causal' else 'hidden tokens'}; {parameters:,} parameters")

    # Loop
    device.seed_everything(seed)
    work = _work(head, model, texts, seed)
    mark = f"{name} {transformers.__version__} {texts.fingerprint(config, seed)}"
    progress = fit(work, config, compute, reporter, seed=seed, fingerprint=mark)

    # Artefacts
    reporter.progress(END, "saving the model")
    scored = progress.best_metrics  # the model has that epoch's weights
    metrics = {
        "loss": scored["val_loss"],
        "perplexity": scored["val_perplexity"],
        **progress.metrics(n_train=len(texts.train.tokens), n_test=len(texts.held_out.tokens), parameters=parameters),
    }
    if head == "causal":
        metrics["bits_per_byte"] = texts.bits_per_byte(scored["val_loss"])
    texts.tokenizer.save(str(out / tokens.FILE))
    manifest = {
        "model_type": name,
        **compute.ran,
        "transformers_version": transformers.__version__,
        "task": task,
        "max_length": length,
        "config": config.as_kept(),
        "seed": seed,
        "metrics": metrics,
    }
    networks.save(out, manifest, model)
    reporter.metrics(metrics)
    predictor = _predictor(head, model, texts.tokenizer, length, compute)
    report = {"generated": generated(predictor, texts.documents)} if head == "causal" else {}
    reporter.progress(1.0, "done")
    return TrainResult(
        metrics=metrics,
        folder=out,
        **compute.ran,
        task=task,
        report=report,
        columns=[{"name": "text", "kind": "text"}],
        target="next token" if head == "causal" else "masked token",
    )


def load(folder: Path, manifest: Mapping[str, Any]) -> "ArchitectureGenerator | MaskFiller":
    """The model that `train` saved. Raises ModelProblem."""
    head: Head = "causal" if manifest.get("task") == "language_modelling" else "masked"
    compute = device.choose()
    model = networks.load(folder, manifest, head)
    try:
        return _predictor(head, model, tokens.load(folder), int(manifest["max_length"]), compute)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelProblem("The model's manifest is incomplete.") from error


class ArchitectureGenerator:
    """Goes on with texts, with the same parameters and answers as `trainers.text.predictor.TextGenerator`."""

    task: Task = "language_modelling"
    columns = [{"name": "text", "kind": "text"}]

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, length: int, compute: device.Compute) -> None:
        self.model = model.to(compute.device).eval()
        self.tokenizer, self.length, self.compute = tokenizer, length, compute
        self.end = tokens.end_of_text(tokenizer) or 0

    def predict(self, rows: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict_input(rows, parameters)

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """{"text": what was added, "prompt", "tokens", "finish": "end", "stop" or "length"} of each prompt.

        A prompt and what is added to it come to the model's longest sequence at most: of a longer prompt the end is
        seen, half of that sequence or more. Raises DataProblem: something is no text.
        """
        prompts = texts_of(input_data, most=MAX_PROMPTS)
        sampling = Sampling.asked(parameters or {})
        encoded = self.tokenizer.encode_batch(prompts, add_special_tokens=False)
        seen = max(self.length - sampling.tokens, self.length // 2)
        rows = [each.ids[-seen:] or [self.end] for each in encoded]
        added = min(sampling.tokens, self.length - max(map(len, rows)))
        made: list[Continuation] = []
        for begin in range(0, len(rows), BATCH):
            made += self._go_on(rows[begin : begin + BATCH], sampling, added, begin)
        return [
            {"prompt": prompt, "text": each.text, "tokens": len(each.tokens), "finish": each.finish}
            for prompt, each in zip(prompts, made, strict=True)
        ]

    def _go_on(self, rows: Sequence[list[int]], sampling: Sampling, added: int, number: int) -> list[Continuation]:
        longest = max(map(len, rows))
        ids = torch.tensor([[self.end] * (longest - len(row)) + row for row in rows], device=self.compute.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=self.compute.device)
        is_greedy = sampling.is_greedy
        drawing = {} if is_greedy else {"temperature": sampling.temperature, "top_p": sampling.top_p or 1.0}
        with torch.random.fork_rng(), torch.inference_mode(), self.compute.autocast():
            torch.manual_seed(torch.seed() if sampling.seed is None else sampling.seed + number)
            found = self.model.generate(  # type: ignore[operator]
                input_ids=ids,
                **({"attention_mask": mask} if networks.takes(self.model, "attention_mask") else {}),
                max_new_tokens=added,
                do_sample=not is_greedy,
                **drawing,
                **({} if is_greedy else {"top_k": sampling.top_k or 0}),
                eos_token_id=self.end,
                pad_token_id=self.end,
                stopping_criteria=StoppingCriteriaList([_Stops(self.tokenizer, sampling, longest)]),
            )
        return [self._made(row.tolist(), sampling) for row in found[:, longest:]]

    def _made(self, row: list[int], sampling: Sampling) -> Continuation:
        made = Continuation(row)
        if self.end in row:
            made = Continuation(row[: row.index(self.end)], finish="end")
        made.text = self.tokenizer.decode(made.tokens)
        return cut(made, sampling)


class _Stops(StoppingCriteria):
    """Ends a row in which a stop text has come."""

    def __init__(self, tokenizer: Tokenizer, sampling: Sampling, begin: int) -> None:
        self.tokenizer, self.sampling, self.begin = tokenizer, sampling, begin

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        ended = [stops(self.tokenizer, row, self.sampling) for row in input_ids[:, self.begin :].tolist()]
        return torch.tensor(ended, dtype=torch.bool, device=input_ids.device)


class MaskFiller:
    """Fills each [MASK] of a text with the likeliest token; `top_k` tells more of them."""

    task: Task = "masked_language_modelling"
    columns = [{"name": "text", "kind": "text"}]

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, length: int, compute: device.Compute) -> None:
        self.model = model.to(compute.device).eval()
        self.tokenizer, self.length, self.compute = tokenizer, length, compute
        self.mask = mask_of(tokenizer)

    def predict(self, rows: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict_input(rows, parameters)

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """{"text": the text with its masks filled, "prompt", "fills": [[{"token", "score"}, …] a mask]} of each text.

        Raises:
            DataProblem: something is no text, has no [MASK], or is too long.
        """
        asked = dict(parameters or {})
        texts = texts_of(input_data, most=MAX_PROMPTS)
        return [self._filled(text, number, asked) for number, text in enumerate(texts, 1)]

    def _filled(self, text: str, number: int, asked: Mapping[str, Any]) -> dict[str, Any]:
        written = self.tokenizer.id_to_token(self.mask) or tokens.MASK
        ids = self.tokenizer.encode(text.replace(tokens.MASK, written)).ids
        places = [place for place, token in enumerate(ids) if token == self.mask]
        if not places:
            raise DataProblem(f'Text {number} has no {tokens.MASK} to fill: "The sky is {tokens.MASK}."')
        if len(ids) > self.length:
            raise DataProblem(f"Text {number} has {len(ids)} tokens; the model sees {self.length}. Give less of it.")
        with torch.inference_mode(), self.compute.autocast():
            logits = self.model(input_ids=torch.tensor([ids], device=self.compute.device)).logits[0, places]
        shares = (logits.float().cpu() / temperature_of(asked)).softmax(dim=1)
        best = shares.topk(min(int(asked.get("top_k") or TOP_FILLS), shares.shape[1]), dim=1)
        filled = list(ids)
        fills = []
        for place, scores, found in zip(places, best.values.tolist(), best.indices.tolist(), strict=True):
            filled[place] = found[0]
            fills.append(
                [
                    {"token": self.tokenizer.decode([token]), "score": score}
                    for token, score in zip(found, scores, strict=True)
                ]
            )
        return {"prompt": text, "text": self.tokenizer.decode(filled), "fills": fills}


def mask_of(tokenizer: Tokenizer) -> int:
    """The token that hides another. Raises ConfigProblem: the tokenizer has none."""
    found = next(
        (number for name in (tokens.MASK, "<mask>") if (number := tokenizer.token_to_id(name)) is not None), None
    )
    if found is None:
        sentence = "has a tokenizer without a token that hides others ([MASK] or <mask>)."
        raise ConfigProblem(f"base_model {sentence}", details={"base_model": [sentence]})
    return found


def _work(head: Head, model: nn.Module, texts: Texts, seed: int) -> LanguageWork | MaskedWork:
    without_cache = {"use_cache": False} if networks.takes(model, "use_cache") else {}

    def logits(running: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = running(input_ids=inputs, **without_cache).logits
        return found.float()

    if head == "causal":
        return LanguageWork(model, texts.train, texts.held_out, logits)
    return MaskedWork(
        model,
        texts.train,
        texts.held_out,
        logits,
        mask=mask_of(texts.tokenizer),
        vocabulary=texts.tokenizer.get_vocab_size(),
        seed=seed,
    )


def _predictor(
    head: Head, model: nn.Module, tokenizer: Tokenizer, length: int, compute: device.Compute
) -> "ArchitectureGenerator | MaskFiller":
    kind = ArchitectureGenerator if head == "causal" else MaskFiller
    return kind(model, tokenizer, length, compute)


def _marks(tokenizer: Tokenizer) -> dict[str, int]:
    """The special tokens, by the names that configs have for them."""
    end, padding = tokens.id_of(tokenizer, tokens.END), tokens.id_of(tokenizer, tokens.PAD)
    marks = {name: end for name in ("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "unk_token_id")}
    return {**marks, "decoder_start_token_id": end, "pad_token_id": padding}
