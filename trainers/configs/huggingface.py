"""Hyperparameters of `bert` and of any other architecture of Hugging Face transformers. Imports pydantic only."""

from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from trainers.configs.base import in_group
from trainers.configs.deep import DeepConfig
from trainers.configs.fields import (
    Augment,
    BatchOfSequences,
    ClassWeight,
    Epochs,
    HiddenSize,
    ImageColumn,
    ImageSize,
    LabelColumn,
    LabelSmoothing,
    Layers,
    LearningRate,
    MaxLength,
    Name,
    NumClasses,
    NumHeads,
    Share,
    TextColumn,
    VocabSize,
)

# What takes no part in a model that starts from weights: its shape is theirs.
SHAPE = ("num_layers", "num_heads", "hidden_size", "vocab_size")


class TransformersConfig(DeepConfig):
    """What every architecture takes. `architecture` is its name in transformers."""

    path_fields = ("base_model",)
    base_models = ("base_model",)
    architecture: ClassVar[str] = ""

    batch_size: BatchOfSequences = 16
    epochs: Epochs = 5
    learning_rate: LearningRate = Field(
        0.0001,
        description="The highest size of a step; warm-up and schedule lower it. From weights 0.00002 to 0.0001 is "
        "usual, from nothing some times more.",
    )
    base_model: Name | None = Field(
        None,
        title="Base model",
        description="Weights to start from: the name of a folder in the model folder (/models/…), the path of a model "
        "trained here, or a Hub id where the operator allows the Hub. null: from nothing.",
        json_schema_extra=in_group("Model"),
    )
    max_length: MaxLength = Field(
        256,
        title="Longest sequence",
        description="Tokens that the model sees at once. Longer texts are split, and their scores averaged.",
    )
    num_layers: Layers | None = Field(
        None,
        title="Layers",
        description="Transformer blocks. null: as many as the architecture usually has.",
        json_schema_extra=in_group("Model", "layers"),
    )
    num_heads: NumHeads = None
    hidden_size: HiddenSize | None = Field(
        None,
        title="Hidden size",
        description="Width of the model. null: what the architecture usually has.",
        json_schema_extra=in_group("Model"),
    )
    vocab_size: VocabSize | None = Field(
        None,
        title="Vocabulary",
        description="Tokens of the tokenizer that is made from the text; fewer where the text has fewer. null: 8192.",
        json_schema_extra=in_group("Model", "tokens"),
    )
    dropout_rate: Share | None = Field(
        None,
        title="Dropout",
        description="Share of activations that is left out at random while learning. null: the architecture's own.",
        json_schema_extra=in_group("Advanced"),
    )
    num_classes: NumClasses = None
    text_column: TextColumn = None
    label_column: LabelColumn = Field(
        None, description="In a table or JSON lines: the field of the class. Found when left out."
    )
    class_weight: ClassWeight = None
    label_smoothing: LabelSmoothing = 0.0

    def problems(self) -> dict[str, list[str]]:
        problems = super().problems()
        if self.base_model is not None:
            given = [name for name in SHAPE if getattr(self, name) is not None]
            problems |= {name: ["is the base model's own: leave it out, or leave base_model out."] for name in given}
        if self.hidden_size and self.num_heads and self.hidden_size % self.num_heads:
            problems["num_heads"] = [
                f"a hidden size of {self.hidden_size} cannot be shared among {self.num_heads} heads."
            ]
        return problems

    def own_fields(self) -> dict[str, Any]:
        """Fields of the architecture's own config that were given."""
        return {}


class BertConfig(TransformersConfig):
    """BERT (Devlin et al. 2019) as a classifier of texts. Its size, where it starts from nothing, is BERT-Mini's
    (Turc et al. 2019): what a text of some thousand rows can teach, in minutes without a GPU."""

    architecture = "bert"

    num_layers: Layers | None = Field(
        None,
        title="Layers",
        description="Transformer blocks. null: 4, or the base model's. BERT's first release has 12.",
        json_schema_extra=in_group("Model", "layers"),
    )
    hidden_size: HiddenSize | None = Field(
        None,
        title="Hidden size",
        description="Width of the model. null: 256, or the base model's. BERT's first release has 768.",
        json_schema_extra=in_group("Model"),
    )


class ArchitectureConfig(TransformersConfig):
    """Of an architecture that is known by its name only. Fields beyond these are the architecture's own; what it takes
    knows the worker that trains it."""

    model_config = ConfigDict(extra="allow")

    task: Literal["auto", "text_classification", "language_modelling", "image_classification"] = Field(
        "auto",
        title="Task",
        description="What to learn. auto: classes where the data has labels, else the text itself; images where the "
        "architecture is one for images.",
        json_schema_extra=in_group("Data"),
    )
    image_column: ImageColumn = None
    image_size: ImageSize = None
    augment: Augment = Field(
        "light",
        description="Of images. light: shifted crops and mirror images. strong: also other scales, colours, and erased "
        "patches.",
    )

    def own_fields(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


@lru_cache(maxsize=256)
def config_of(architecture: str) -> type[ArchitectureConfig]:
    """The config of an architecture of that name, whether or not there is one."""
    name = "".join(part.capitalize() for part in architecture.replace("-", "_").replace(".", "_").split("_"))
    members = {"architecture": architecture, "__annotations__": {}, "__module__": __name__}
    config: type[ArchitectureConfig] = type(f"{name}Config", (ArchitectureConfig,), members)
    return config
