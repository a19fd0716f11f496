"""Hyperparameters of the language models `gpt` and `transformer`. Imports pydantic only."""

from pydantic import Field

from trainers.configs.base import in_group
from trainers.configs.deep import DeepConfig
from trainers.configs.fields import (
    BatchOfSequences,
    Dropout,
    HiddenSize,
    Layers,
    LearningRate,
    MaxLength,
    Name,
    NumHeads,
    TextColumn,
    VocabSize,
    WeightDecay,
)


class LanguageConfig(DeepConfig):
    path_fields = ("tokenizer",)

    batch_size: BatchOfSequences = 16
    learning_rate: LearningRate = 0.0006
    weight_decay: WeightDecay = 0.1
    max_length: MaxLength = Field(
        256,
        title="Context length",
        description="Tokens that the model sees at once. Longer documents are split, shorter ones packed together.",
    )
    num_layers: Layers = Field(
        6, title="Layers", description="Transformer blocks.", json_schema_extra=in_group("Model", "layers")
    )
    num_heads: NumHeads = None
    hidden_size: HiddenSize = Field(
        384,
        title="Hidden size",
        description="Width of the model; a multiple of the number of heads.",
        json_schema_extra=in_group("Model"),
    )
    dropout_rate: Dropout = Field(0.1, description="Share of activations that is left out at random while learning.")
    vocab_size: VocabSize = Field(
        8_192,
        title="Vocabulary",
        description="Tokens of the tokenizer that is made from the text; fewer where the text has fewer.",
        json_schema_extra=in_group("Model", "tokens"),
    )
    tokenizer: Name | None = Field(
        None,
        title="Tokenizer",
        description="A tokenizer.json (or a model's folder with one) to use in place of one made from the text, named "
        "as data is: a path under /data, or a data set.",
        json_schema_extra=in_group("Model"),
    )
    text_column: TextColumn = None

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
