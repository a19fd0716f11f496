"""Tokenizers that are made from the text itself or given, and documents as one row of tokens."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from trainers.protocol import ConfigProblem, ModelProblem

# Said by name, or else each process forked after the first use warns of it.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

FILE = "tokenizer.json"
END = "<|endoftext|>"  # between documents
PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)
_ENDS = (END, "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", SEP)  # what tokenizers call the end of a text
_LEARNT_FROM = 200_000_000  # characters; more text makes a tokenizer slower, not better
_ALPHABET = 6_000  # characters that WordPiece knows by themselves, and no more than a quarter of its vocabulary


def make(texts: Sequence[str], vocabulary: int, *, special: Sequence[str] = (END,)) -> Tokenizer:
    """Byte-level byte pair encoding (Sennrich et al. 2016; Radford et al. 2019): any text has tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(texts), trainer)
    return tokenizer


def make_wordpiece(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """BERT's tokenizer (Devlin et al. 2019): lower case, words in pieces, [CLS] before and [SEP] behind each text.

    The same for the same texts: a resumed training makes it anew.
    """
    normalizer = normalizers.BertNormalizer()
    counts: Counter[str] = Counter()
    for text in _sample(texts):
        counts.update(normalizer.normalize_str(text))
    kept = min(_ALPHABET, vocabulary // 4)
    frequent = sorted(counts, key=lambda each: (-counts[each], each))[:kept]
    alphabet = sorted(each for each in frequent if not each.isspace())
    # The library numbers inner characters as it meets them, in another order each time; named here, they have numbers.
    inner = [f"##{each}" for each in alphabet]
    draft = _wordpiece(models.WordPiece(unk_token=UNKNOWN))
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=[*_SPECIAL, *inner],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    draft.train_from_iterator(_sample(texts), trainer)
    # A new one with the same words, to which "##a" in a text is nothing special.
    tokenizer = _wordpiece(models.WordPiece(draft.get_vocab(), unk_token=UNKNOWN))
    tokenizer.add_special_tokens(list(_SPECIAL))
    ends = [(name, tokenizer.token_to_id(name)) for name in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", special_tokens=ends)
    return tokenizer


def _wordpiece(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def load(folder: Path) -> Tokenizer:
    """The tokenizer in a model's folder. Raises ModelProblem."""
    try:
        return Tokenizer.from_file(str(folder / FILE))
    except Exception as error:  # the library raises Exception itself
        raise ModelProblem(f"{FILE} is damaged or missing.") from error


def given(path: Path, *, field: str = "tokenizer") -> Tokenizer:
    """The tokenizer in a file (tokenizer.json) or model's folder that the hyperparameter `field` names.

    Raises:
        ConfigProblem: there is none that can be read.
    """
    try:
        tokenizer = load(path) if path.is_dir() else Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises Exception itself
        sentence = f'names "{path.name}", which holds no tokenizer that can be read: {FILE} is missing or damaged.'
        raise ConfigProblem(f"{field} {sentence}", details={field: [sentence]}) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def with_end(tokenizer: Tokenizer) -> Tokenizer:
    """The same, with a token for the end of a text where it had none."""
    if end_of_text(tokenizer) is None:
        tokenizer.add_special_tokens([END])
    return tokenizer


def end_of_text(tokenizer: Tokenizer) -> int | None:
    """The token between documents; None where the tokenizer has none."""
    return next((number for name in _ENDS if (number := tokenizer.token_to_id(name)) is not None), None)


def id_of(tokenizer: Tokenizer, name: str) -> int:
    """The number of a token that the tokenizer was made with. Raises ModelProblem."""
    number = tokenizer.token_to_id(name)
    if number is None:
        raise ModelProblem(f"{FILE} has no token {name}.")
    return int(number)


def row_of(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """All documents behind one another, an end after each: (n,) int32."""
    end = end_of_text(tokenizer)
    rows: list[np.ndarray] = []
    for begin in range(0, len(texts), 1024):
        for encoded in tokenizer.encode_batch(list(texts[begin : begin + 1024]), add_special_tokens=False):
            rows.append(np.array([*encoded.ids, end], np.int32))
    return np.concatenate(rows) if rows else np.zeros(0, np.int32)


def _sample(texts: Sequence[str]) -> Iterator[str]:
    characters = 0
    for text in texts:
        yield text
        characters += len(text)
        if characters > _LEARNT_FROM:
            return
