"""Going on with texts: tokens drawn one after the other, many prompts at a time, with what was seen kept in a cache."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import nn

from trainers.deep.device import Compute
from trainers.protocol import LEAST_TEMPERATURE
from trainers.text.cache import Cache

NEW_TOKENS = 100  # where max_length does not say
MOST_TOKENS = 4096
BATCH = 16  # prompts at a time

Finish = Literal["end", "stop", "length"]


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    tokens: int = NEW_TOKENS  # at most
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @classmethod
    def asked(cls, parameters: Mapping[str, Any]) -> "Sampling":
        """As an inference's parameters say it."""
        stop = parameters.get("stop") or ()
        temperature = parameters.get("temperature")
        return cls(
            tokens=min(int(parameters.get("max_length") or NEW_TOKENS), MOST_TOKENS),
            temperature=1.0 if temperature is None else float(temperature),
            top_k=parameters.get("top_k"),
            top_p=parameters.get("top_p"),
            seed=parameters.get("seed"),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
        )

    @property
    def is_greedy(self) -> bool:
        """Is the likeliest token always taken?"""
        return self.temperature < LEAST_TEMPERATURE


@dataclass
class Continuation:
    """What was added to a prompt. "stop": a stop text came, which is left out."""

    tokens: list[int]
    text: str = ""
    finish: Finish = "length"


def go_on(
    model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    compute: Compute,
    *,
    end: int,
) -> list[Continuation]:
    """What comes after each prompt.

    `model` takes (tokens, cache) and has a `context`, the most tokens it sees at once; a text that outgrows it goes on
    from its last half. `end` is the token that ends a text.
    """
    context = int(model.context)  # type: ignore[arg-type]
    found: dict[int, Continuation] = {}
    by_length = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    for begin in range(0, len(by_length), BATCH):
        numbers = by_length[begin : begin + BATCH]
        rows = [_Row(prompts[number], sampling, number, context) for number in numbers]
        _fill(model, tokenizer, rows, sampling, compute, end)
        found.update(zip(numbers, (row.made for row in rows), strict=True))
    for made in found.values():
        made.text = tokenizer.decode(made.tokens)
        cut(made, sampling)
    return [found[number] for number in range(len(prompts))]


class _Row:
    """A prompt, what was added to it, and where its draws come from: the same whatever else is in the batch."""

    def __init__(self, prompt: Sequence[int], sampling: Sampling, number: int, context: int) -> None:
        self.made = Continuation([])
        self.is_done = False
        self.context = context
        self.seen = list(prompt)[-context:]  # by the model
        self.has_lost = False  # some of what the cache has
        self.generator = torch.Generator()
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed + number)

    def add(self, token: int) -> None:
        """A text that outgrows the context goes on from its last half."""
        self.made.tokens.append(token)
        self.has_lost = len(self.seen) >= self.context
        self.seen.append(token)
        if self.has_lost:
            self.seen = self.seen[-max(self.context // 2, 1) :]


def _fill(
    model: nn.Module, tokenizer: Tokenizer, rows: Sequence[_Row], sampling: Sampling, compute: Compute, end: int
) -> None:
    with torch.inference_mode():
        logits, cache = _seen_anew(model, rows, compute, end)
        for number in range(sampling.tokens):
            for row, its in zip(rows, logits, strict=True):
                if not row.is_done:
                    _add(row, drawn(its, sampling, row.generator), tokenizer, sampling, end)
            left = [row for row in rows if not row.is_done]
            if not left or number == sampling.tokens - 1:
                return
            if cache.length >= cache.room or any(row.has_lost for row in left):
                rows = left
                logits, cache = _seen_anew(model, rows, compute, end)
            else:
                newest = torch.tensor([[row.seen[-1]] for row in rows], device=compute.device)
                logits = _logits(model, newest, cache, compute)


def _add(row: _Row, token: int, tokenizer: Tokenizer, sampling: Sampling, end: int) -> None:
    if token == end:
        row.made.finish, row.is_done = "end", True
        return
    row.add(token)
    row.is_done = stops(tokenizer, row.made.tokens, sampling)


def stops(tokenizer: Tokenizer, added: Sequence[int], sampling: Sampling) -> bool:
    """Whether what was added ends with a stop text, or with one and some characters."""
    if not sampling.stop:
        return False
    # No token is empty: the stop text lies in as many of them as it has bytes, and the character before it.
    longest = max(len(each.encode()) for each in sampling.stop)
    tail = tokenizer.decode(list(added[-longest - 4 :]))
    return any(each in tail for each in sampling.stop)


def cut(made: Continuation, sampling: Sampling) -> Continuation:
    """The same, its text ended before the first stop text in it."""
    places = [place for each in sampling.stop if (place := made.text.find(each)) >= 0]
    if places:
        made.text, made.finish = made.text[: min(places)], "stop"
    return made


def _seen_anew(model: nn.Module, rows: Sequence[_Row], compute: Compute, padding: int) -> tuple[torch.Tensor, Cache]:
    """Show the model each row: the logits of the next tokens, and the cache to go on with."""
    longest = max(len(row.seen) for row in rows)
    pads = torch.tensor([longest - len(row.seen) for row in rows], device=compute.device)
    padded = torch.tensor([[padding] * (longest - len(row.seen)) + row.seen for row in rows], device=compute.device)
    cache = Cache(len(model.blocks), int(model.context), pads)  # type: ignore[arg-type]
    return _logits(model, padded, cache, compute), cache


def _logits(model: nn.Module, tokens: torch.Tensor, cache: Cache, compute: Compute) -> torch.Tensor:
    """(N, vocabulary), on the CPU."""
    with compute.autocast():
        logits: torch.Tensor = model(tokens, cache)
    return logits[:, -1].float().cpu()


def drawn(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token by its logits (vocabulary,): cut to `top_k`, then to the likeliest that make up `top_p`
    (Holtzman et al. 2020), then drawn at `temperature`."""
    if sampling.is_greedy:
        return int(logits.argmax())
    values, places = (logits / sampling.temperature).sort(descending=True)
    shares = values[: sampling.top_k or len(values)].softmax(dim=0)
    if sampling.top_p is not None:
        before = shares.cumsum(dim=0) - shares
        shares = shares[: max(int((before < sampling.top_p).sum()), 1)]
    return int(places[torch.multinomial(shares, 1, generator=generator)])
