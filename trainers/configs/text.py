"""Hyperparameters of the language models `gpt` and `transformer`. Imports pydantic only."""

from typing import Annotated

from pydantic import Field

from trainers.configs.base import in_group
from trainers.configs.deep import DeepConfig


class LanguageConfig(DeepConfig):
    path_fields = ("tokenizer",)

    batch_size: Annotated[int, Field(ge=1, le=65_536)] = Field(
        16,
        title="Batch size",
        description="Sequences that one step learns from. A batch that does not fit into memory is worked through in "
        "parts, with the same result.",
        json_schema_extra=in_group("Model", "sequences"),
    )
    learning_rate: Annotated[float, Field(gt=0, le=10)] = Field(
        0.0006,
        title="Learning rate",
        description="The highest size of a step; warm-up and schedule lower it.",
        json_schema_extra=in_group("Model"),
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1,
        title="Weight decay",
        description="Pull of the weights towards zero. Biases and norms are left out.",
        json_schema_extra=in_group("Advanced"),
    )
    max_length: Annotated[int, Field(ge=8, le=32_768)] = Field(
        256,
        title="Context length",
        description="Tokens that the model sees at once. Longer documents are split, shorter ones packed together.",
        json_schema_extra=in_group("Model", "tokens"),
    )
    num_layers: Annotated[int, Field(ge=1, le=200)] = Field(
        6, title="Layers", description="Transformer blocks.", json_schema_extra=in_group("Model", "layers")
    )
    num_heads: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None,
        title="Attention heads",
        description="Must divide the hidden size. null: one for each 64 of it.",
        json_schema_extra=in_group("Model", "heads"),
    )
    hidden_size: Annotated[int, Field(ge=8, le=16_384)] = Field(
        384,
        title="Hidden size",
        description="Width of the model; a multiple of the number of heads.",
        json_schema_extra=in_group("Model"),
    )
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1,
        title="Dropout",
        description="Share of activations that is left out at random while learning.",
        json_schema_extra=in_group("Advanced"),
    )
    vocab_size: Annotated[int, Field(ge=258, le=262_144)] = Field(
        8_192,
        title="Vocabulary",
        description="Tokens of the tokenizer that is made from the text; fewer where the text has fewer.",
        json_schema_extra=in_group("Model", "tokens"),
    )
    tokenizer: str | None = Field(
        None,
        title="Tokenizer",
        description="A tokenizer.json (or a model's folder with one) to use in place of one made from the text, named "
        "as data is: a path under /data, or a data set.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Model"),
    )
    text_column: str | None = Field(
        None,
        title="Text column",
        description="In a table or JSON lines: the field of the text. Found when left out.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Data"),
    )

    @property
    def heads(self) -> int:
        """`num_heads`, or its default."""
        return self.num_heads or max(self.hidden_size // 64, 1)

    def problems(self) -> dict[str, list[str]]:
        problems = super().problems()
        if self.hidden_size % self.heads:
            field = "num_heads" if self.num_heads else "hidden_size"
            problems[field] = [f"a hidden size of {self.hidden_size} cannot be shared among {self.heads} heads."]
        elif self.hidden_size // self.heads % 2:
            problems["hidden_size"] = ["each head needs an even share of the hidden size."]
        return problems


class GPTConfig(LanguageConfig):
    """GPT-2's shape."""


class TransformerConfig(LanguageConfig):
    """Llama's shape."""
