"""From a user's text to tokens in two parts: the same for every language model."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from trainers.configs.deep import DeepConfig
from trainers.protocol import DataProblem, Reporter
from trainers.text import corpus, tokens
from trainers.text.windows import Windows

LEAST_TOKENS = 16  # of each part
FEW = 20  # documents; of fewer, the end of each is held out


@dataclass(frozen=True)
class Texts:
    """A corpus as sequences of tokens."""

    documents: list[str]
    tokenizer: Tokenizer
    train: Windows
    held_out: Windows
    held_out_bytes: int

    def bits_per_byte(self, loss: float) -> float:
        """A loss (nats a token) in a unit that does not depend on the tokenizer."""
        return loss / math.log(2) * (len(self.held_out.tokens) - 1) / self.held_out_bytes

    def fingerprint(self, config: DeepConfig, seed: int) -> str:
        """Of all that a checkpoint must have in common with the training that goes on with it."""
        digest = hashlib.blake2b(json.dumps([torch.__version__, seed, config.decides()], sort_keys=True).encode())
        for text in self.documents:
            digest.update(f"{len(text)} {text}".encode("utf-8", "replace"))
        return digest.hexdigest()


def prepare(
    path: Path,
    reporter: Reporter,
    *,
    text_column: str | None,
    held_out: float,
    seed: int,
    length: int,
    vocabulary: int,
    tokenizer: Tokenizer | None = None,
    special: Sequence[str] = (tokens.END,),
) -> Texts:
    """The documents at `path` as sequences of `length` tokens: of `tokenizer`, else of one made from the part that is
    learnt from.

    Raises:
        DataProblem: there is too little text.
    """
    documents = corpus.documents(path, reporter, text_column=text_column)
    learnt, held = _split(documents, held_out, seed)
    tokenizer = tokenizer or tokens.make(learnt, vocabulary, special=special)
    train = Windows(_row(tokenizer, learnt, "to learn from"), length)
    scored = Windows(_row(tokenizer, held, "held out"), length)
    reporter.log(
        "INFO",
        f"{corpus.told(documents)}; {len(train.tokens):,} tokens to learn from in {train.count} sequences, "
        f"{len(scored.tokens):,} held out; vocabulary {tokenizer.get_vocab_size():,}",
    )
    return Texts(documents, tokenizer, train, scored, sum(len(text.encode("utf-8", "replace")) for text in held))


def _split(texts: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Documents to learn from and held-out ones; of a few, the end of each is held out."""
    if len(texts) >= FEW:
        order = np.random.default_rng(seed).permutation(len(texts))
        count = max(round(len(texts) * share), 1)
        held = set(order[:count].tolist())
        return [t for i, t in enumerate(texts) if i not in held], [texts[i] for i in sorted(held)]
    edges = [math.ceil(len(text) * (1 - share)) for text in texts]
    parts = list(zip(texts, edges, strict=True))
    return [text[:edge] for text, edge in parts], [text[edge:] for text, edge in parts if text[edge:]]


def _row(tokenizer: Tokenizer, texts: Sequence[str], what: str) -> np.ndarray:
    row = tokens.row_of(tokenizer, texts)
    if len(row) < LEAST_TOKENS:
        raise DataProblem(f"There are only {len(row)} tokens {what}; give more text.")
    return row
