"""Text that a language model goes on with."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from trainers.deep.device import Compute
from trainers.protocol import ModelProblem, Predictor, Task
from trainers.text.generation import Sampling, go_on
from trainers.text.inputs import texts_of
from trainers.text.tokens import end_of_text

MAX_PROMPTS = 1_000
SHOWN_PROMPTS, SHOWN_CHARACTERS, SHOWN_TOKENS = 3, 60, 40  # of what a report shows


class TextGenerator:
    """Goes on with a prompt, or with each of several.

    `max_length` is how many tokens are added at most. `temperature` below 1 is bolder towards the likely, above 1 more
    varied; with `top_k` or `top_p` only the likeliest tokens are drawn from; `stop` ends at a text, or at one of
    several. `seed` makes it repeatable.
    """

    task: Task = "language_modelling"
    columns = [{"name": "text", "kind": "text"}]

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, compute: Compute) -> None:
        self.model = model.to(compute.device).eval()
        self.tokenizer, self.compute = tokenizer, compute
        end = end_of_text(tokenizer)
        if end is None:
            raise ModelProblem("The model's tokenizer has no token for the end of a text.")
        self.end = end

    def predict(self, rows: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict_input(rows, parameters)

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """{"text": what was added, "prompt", "tokens", "finish": "end", "stop" or "length"} of each prompt.

        Raises:
            DataProblem: something is no text.
        """
        prompts = texts_of(input_data, most=MAX_PROMPTS)
        encoded = self.tokenizer.encode_batch(prompts, add_special_tokens=False)
        rows = [each.ids or [self.end] for each in encoded]
        sampling = Sampling.asked(parameters or {})
        made = go_on(self.model, self.tokenizer, rows, sampling, self.compute, end=self.end)
        return [
            {"prompt": prompt, "text": each.text, "tokens": len(each.tokens), "finish": each.finish}
            for prompt, each in zip(prompts, made, strict=True)
        ]


def generated(predictor: Predictor, documents: Sequence[str]) -> list[dict[str, str]]:
    """For a report: how the model goes on with the beginnings of some documents, [{"prompt", "text"}]."""
    step = max(len(documents) // SHOWN_PROMPTS, 1)
    prompts = [text.lstrip()[:SHOWN_CHARACTERS] for text in documents[::step][:SHOWN_PROMPTS]]
    made = predictor.predict_input(prompts, {"max_length": SHOWN_TOKENS, "temperature": 0.8, "seed": 0})
    return [{"prompt": each["prompt"], "text": each["text"]} for each in made]
