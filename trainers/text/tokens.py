"""A tokenizer that is made from the text itself, and documents as one row of its tokens."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"  # between documents
FILE = "tokenizer.json"
_LEARNT_FROM = 200_000_000  # characters; more text makes a tokenizer slower, not better


def make(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Byte-level byte pair encoding (Sennrich et al. 2016; Radford et al. 2019): any text has tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    characters, used = 0, []
    for text in texts:
        used.append(text)
        characters += len(text)
        if characters > _LEARNT_FROM:
            break
    tokenizer.train_from_iterator(used, trainer)
    return tokenizer


def load(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / FILE))


def row_of(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """All documents behind one another, an end after each: (n,) int32."""
    end = tokenizer.token_to_id(END)
    rows: list[np.ndarray] = []
    for begin in range(0, len(texts), 1024):
        for encoded in tokenizer.encode_batch(list(texts[begin : begin + 1024]), add_special_tokens=False):
            rows.append(np.array([*encoded.ids, end], np.int32))
    return np.concatenate(rows) if rows else np.zeros(0, np.int32)
