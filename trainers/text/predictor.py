"""Text that a language model goes on with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from trainers.deep.device import Compute
from trainers.protocol import DataProblem
from trainers.text.tokens import END

NEW_TOKENS = 100  # where max_length does not say
MOST_TOKENS = 4096
MAX_PROMPT = 1_000_000  # characters
MAX_PROMPTS = 1_000


class TextGenerator:
    """Goes on with a prompt, or with each of several.

    `max_length` is how many tokens are added at most. `temperature` below 1 is bolder towards the likely, above 1 more
    varied; with `top_k` or `top_p` only the likeliest tokens are drawn from. `seed` makes it repeatable.
    """

    task = "language_modelling"
    columns = [{"name": "text", "kind": "text"}]

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, compute: Compute) -> None:
        self.model = model.to(compute.device).eval()
        self.tokenizer, self.compute = tokenizer, compute
        self.end = tokenizer.token_to_id(END)

    def predict(self, rows: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict_input(rows, parameters)

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """{"text": what was added, "prompt", "tokens", "finish": "end" or "length"} of each prompt.

        Raises:
            DataProblem: something is no text.
        """
        asked = dict(parameters or {})
        generator = torch.Generator()
        if asked.get("seed") is not None:
            generator.manual_seed(int(asked["seed"]))
        else:
            generator.seed()
        return [self._go_on(prompt, asked, generator) for prompt in prompts_of(input_data)]

    def _go_on(self, prompt: str, asked: Mapping[str, Any], generator: torch.Generator) -> dict[str, Any]:
        given = self.tokenizer.encode(prompt, add_special_tokens=False).ids or [self.end]
        wanted = min(int(asked.get("max_length") or NEW_TOKENS), MOST_TOKENS)
        context = int(self.model.context)  # type: ignore[arg-type]
        row = list(given)
        finish = "length"
        with torch.inference_mode():
            for _ in range(wanted):
                seen = torch.tensor([row[-context:]], device=self.compute.device)
                with self.compute.autocast():
                    logits = self.model(seen)[0, -1].float().cpu()
                token = drawn(logits, asked, generator)
                if token == self.end:
                    finish = "end"
                    break
                row.append(token)
        added = row[len(given) :]
        return {
            "prompt": prompt,
            "text": self.tokenizer.decode(added),
            "tokens": len(added),
            "finish": finish,
        }


def drawn(logits: torch.Tensor, asked: Mapping[str, Any], generator: torch.Generator) -> int:
    """One token by its logits (vocabulary,): cut to `top_k`, then to the likeliest that make up `top_p`
    (Holtzman et al. 2020), then drawn at `temperature`; a temperature of 0 takes the likeliest."""
    temperature = 1.0 if asked.get("temperature") is None else float(asked["temperature"])
    if temperature <= 0:
        return int(logits.argmax())
    values, places = (logits / temperature).sort(descending=True)
    kept = len(values)
    if asked.get("top_k"):
        kept = min(kept, int(asked["top_k"]))
    shares = values[:kept].softmax(dim=0)
    if asked.get("top_p") is not None:
        before = shares.cumsum(dim=0) - shares
        shares = shares[: max(int((before < float(asked["top_p"])).sum()), 1)]
    return int(places[torch.multinomial(shares, 1, generator=generator)])


def prompts_of(given: Any) -> list[str]:
    """The prompts that a caller wrote: a text, a list of texts, rows {"text": …}, or a file of text. Raises DataProblem."""
    if isinstance(given, Path):
        if given.stat().st_size > MAX_PROMPT:
            raise DataProblem(f"{given.name} is longer than {MAX_PROMPT} bytes.")
        given = given.read_text(encoding="utf-8", errors="replace")
    if isinstance(given, str | Mapping):
        given = [given]
    if not isinstance(given, Sequence) or not given:
        raise DataProblem('Give a text to go on with, a list of texts, or {"text": …}.')
    if len(given) > MAX_PROMPTS:
        raise DataProblem(f"At most {MAX_PROMPTS} prompts can be answered at once; there are {len(given)}.")
    found = []
    for number, each in enumerate(given, 1):
        text = each.get("text", each.get("prompt")) if isinstance(each, Mapping) else each
        if not isinstance(text, str):
            raise DataProblem(f'Prompt {number} is neither a text nor {{"text": …}}.', details={"prompt": number})
        if len(text) > MAX_PROMPT:
            raise DataProblem(f"Prompt {number} is longer than {MAX_PROMPT} characters.", details={"prompt": number})
        found.append(text)
    return found
