"""Texts are gone on with one token at a time: what was seen is kept, many go together, and each as if alone."""

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import nn

from trainers.deep import device
from trainers.text import tokens
from trainers.text.cache import Cache
from trainers.text.generation import Sampling, drawn, go_on
from trainers.text.gpt import GPT
from trainers.text.transformer import Transformer, turned, turns_at

CPU = device.choose("cpu")
END = 0


@pytest.fixture(params=[GPT, Transformer])
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(3)
    made: nn.Module = request.param(vocabulary=300, context=24, layers=2, heads=2, width=32, dropout=0.1)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.2)  # far from the sameness of a new model
    return made.eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return tokens.make(["a text of some words, and of some others"] * 3, 300)


def logits(model: nn.Module, row: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(torch.tensor([row]))
    return found[0]


def test_what_was_seen_is_not_computed_again(model: nn.Module) -> None:
    row = list(range(20, 40))
    cache = Cache(2, 24, torch.tensor([0]))
    with torch.inference_mode():
        parts = [model(torch.tensor([row[begin:end]]), cache) for begin, end in ((0, 7), (7, 8), (8, 20))]
    assert torch.allclose(torch.cat(parts, dim=1)[0], logits(model, row), atol=1e-4)


def test_a_shorter_text_in_a_batch_is_seen_as_if_alone(model: nn.Module) -> None:
    short, long = list(range(50, 54)), list(range(100, 112))
    cache = Cache(2, 24, torch.tensor([8, 0]))
    with torch.inference_mode():
        model(torch.tensor([[END] * 8 + short, long]), cache)
        last = model(torch.tensor([[60], [61]]), cache)[:, -1]
    assert torch.allclose(last[0], logits(model, [*short, 60])[-1], atol=1e-4)
    assert torch.allclose(last[1], logits(model, [*long, 61])[-1], atol=1e-4)


def likeliest(model: nn.Module, prompt: list[int], count: int, context: int) -> list[int]:
    """Greedy, by the whole model for each token; a text that outgrows the context goes on from its last half."""
    row, seen = list(prompt), list(prompt)[-context:]
    for number in range(count):
        token = int(logits(model, seen)[-1].argmax())
        if token == END:
            break
        row.append(token)
        if number < count - 1:
            seen = row[-(context // 2) :] if len(seen) >= context else [*seen, token]
    return row[len(prompt) :]


def test_greedy_texts_are_those_of_the_whole_model_also_beyond_its_context(
    model: nn.Module, tokenizer: Tokenizer
) -> None:
    prompts = [[5, 6, 7], list(range(30, 70)), [9], list(range(100, 120))]
    made = go_on(model, tokenizer, [prompts[1]], Sampling(tokens=30, temperature=0), CPU, end=END)
    assert made[0].tokens == likeliest(model, prompts[1], 30, 24)
    together = go_on(model, tokenizer, prompts, Sampling(tokens=4, temperature=0), CPU, end=END)
    alone = [go_on(model, tokenizer, [each], Sampling(tokens=4, temperature=0), CPU, end=END)[0] for each in prompts]
    assert [each.tokens for each in together] == [each.tokens for each in alone]


def test_the_same_seed_draws_the_same_text_whatever_else_is_asked(model: nn.Module, tokenizer: Tokenizer) -> None:
    sampling = Sampling(tokens=6, seed=7)
    alone = go_on(model, tokenizer, [[5, 6, 7]], sampling, CPU, end=END)
    together = go_on(model, tokenizer, [[5, 6, 7], list(range(30, 50))], sampling, CPU, end=END)
    assert alone[0].tokens == together[0].tokens
    assert alone[0].tokens != go_on(model, tokenizer, [[5, 6, 7]], Sampling(tokens=6, seed=8), CPU, end=END)[0].tokens


class Scripted(nn.Module):
    """Says a given text, token by token, whatever it is asked."""

    def __init__(self, script: list[int]) -> None:
        super().__init__()
        self.context, self.blocks, self.script, self.at = 64, [], script, -1

    def forward(self, tokens: torch.Tensor, cache: Cache) -> torch.Tensor:
        self.at += 1
        cache.advance(tokens.shape[1])
        return nn.functional.one_hot(torch.full(tokens.shape, self.script[self.at]), 300).float()


@pytest.mark.parametrize(
    ("stop", "text", "finish"),
    [
        ((), "a text of some words", "end"),
        (("some",), "a text of ", "stop"),
        (("words", " of"), "a text", "stop"),
        (("nowhere",), "a text of some words", "end"),
    ],
)
def test_a_text_ends_before_a_stop_text(tokenizer: Tokenizer, stop: tuple[str, ...], text: str, finish: str) -> None:
    script = [*tokenizer.encode("a text of some words").ids, END]
    (made,) = go_on(Scripted(script), tokenizer, [[9]], Sampling(tokens=40, temperature=0, stop=stop), CPU, end=END)
    assert (made.text, made.finish) == (text, finish)


def test_a_stop_text_ends_the_work_too(tokenizer: Tokenizer) -> None:
    model = Scripted([*tokenizer.encode("a text of some words").ids, END])
    go_on(model, tokenizer, [[9]], Sampling(tokens=40, temperature=0, stop=("text",)), CPU, end=END)
    assert model.at < len(model.script) - 2


def test_draws_are_cut_as_asked() -> None:
    logits = torch.tensor([0.0, 3.0, 2.0, 1.0])
    generator = torch.Generator().manual_seed(1)

    def seen(**asked: Any) -> set[int]:
        return {drawn(logits, Sampling(**asked), generator) for _ in range(300)}

    assert seen() == {0, 1, 2, 3}
    assert seen(top_k=2) == {1, 2}
    assert seen(top_p=0.5) == {1}
    assert seen(top_p=0.85) == {1, 2}
    assert seen(temperature=0) == {1}
    assert seen(temperature=0.05) == {1}
    assert seen(temperature=1e-300) == {1}


def test_turning_keeps_lengths_and_depends_on_distance_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)

    def at(vector: torch.Tensor, place: int) -> torch.Tensor:
        return turned(vector.view(1, 1, 1, 8), turns_at(torch.tensor([[place]]), 8)).flatten()

    def product(i: int, j: int) -> float:
        return float(at(query, i) @ at(key, j))

    assert float(at(query, 9).norm()) == pytest.approx(float(query.norm()), rel=1e-5)
    assert product(3, 1) == pytest.approx(product(20, 18), abs=1e-4)
