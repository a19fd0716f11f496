"""Hyperparameters of `bert` and of any other architecture of Hugging Face transformers. Imports pydantic only."""

from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from trainers.configs.base import in_group
from trainers.configs.deep import DeepConfig

# What takes no part in a model that starts from weights: its shape is theirs.
SHAPE = ("num_layers", "num_heads", "hidden_size", "vocab_size")


class TransformersConfig(DeepConfig):
    """What every architecture takes. `architecture` is its name in transformers."""

    path_fields = ("base_model",)
    base_models = ("base_model",)
    architecture: ClassVar[str] = ""

    batch_size: Annotated[int, Field(ge=1, le=65_536)] = Field(
        16,
        title="Batch size",
        description="Sequences that one step learns from. A batch that does not fit into memory is worked through in "
        "parts, with the same result.",
        json_schema_extra=in_group("Model", "sequences"),
    )
    epochs: Annotated[int, Field(ge=1, le=10_000)] = Field(
        5,
        title="Epochs",
        description="How often the whole training set is gone through.",
        json_schema_extra=in_group("Model", "epochs"),
    )
    learning_rate: Annotated[float, Field(gt=0, le=10)] = Field(
        0.0001,
        title="Learning rate",
        description="The highest size of a step; warm-up and schedule lower it. From weights 0.00002 to 0.0001 is "
        "usual, from nothing some times more.",
        json_schema_extra=in_group("Model"),
    )
    base_model: str | None = Field(
        None,
        title="Base model",
        description="Weights to start from: the name of a folder in the model folder (/models/…), the path of a model "
        "trained here, or a Hub id where the operator allows the Hub. null: from nothing.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Model"),
    )
    max_length: Annotated[int, Field(ge=8, le=32_768)] = Field(
        256,
        title="Longest sequence",
        description="Tokens that the model sees at once. Longer texts are split, and their scores averaged.",
        json_schema_extra=in_group("Model", "tokens"),
    )
    num_layers: Annotated[int, Field(ge=1, le=200)] | None = Field(
        None,
        title="Layers",
        description="Transformer blocks. null: as many as the architecture usually has.",
        json_schema_extra=in_group("Model", "layers"),
    )
    num_heads: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None,
        title="Attention heads",
        description="Must divide the hidden size. null: one for each 64 of it.",
        json_schema_extra=in_group("Model", "heads"),
    )
    hidden_size: Annotated[int, Field(ge=8, le=16_384)] | None = Field(
        None,
        title="Hidden size",
        description="Width of the model. null: what the architecture usually has.",
        json_schema_extra=in_group("Model"),
    )
    vocab_size: Annotated[int, Field(ge=258, le=262_144)] | None = Field(
        None,
        title="Vocabulary",
        description="Tokens of the tokenizer that is made from the text; fewer where the text has fewer. null: 8192.",
        json_schema_extra=in_group("Model", "tokens"),
    )
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        title="Dropout",
        description="Share of activations that is left out at random while learning. null: the architecture's own.",
        json_schema_extra=in_group("Advanced"),
    )
    num_classes: Annotated[int, Field(ge=2, le=100_000)] | None = Field(
        None,
        title="Classes",
        description="How many classes the model tells apart, at least those that the data has. null: just those.",
        json_schema_extra=in_group("Model", "classes"),
    )
    text_column: str | None = Field(
        None,
        title="Text column",
        description="In a table or JSON lines: the field of the text. Found when left out.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Data"),
    )
    label_column: str | None = Field(
        None,
        title="Label column",
        description="In a table or JSON lines: the field of the class. Found when left out.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Data"),
    )
    class_weight: Literal["balanced"] | None = Field(
        None,
        title="Class weights",
        description="balanced: rare classes count as much as frequent ones.",
        json_schema_extra=in_group("Model"),
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        title="Label smoothing",
        description="Share of each target that is spread over all classes.",
        json_schema_extra=in_group("Advanced"),
    )

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

    num_layers: Annotated[int, Field(ge=1, le=200)] | None = Field(
        None,
        title="Layers",
        description="Transformer blocks. null: 4, or the base model's. BERT's first release has 12.",
        json_schema_extra=in_group("Model", "layers"),
    )
    hidden_size: Annotated[int, Field(ge=8, le=16_384)] | None = Field(
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
    image_column: str | None = Field(
        None,
        title="Image column",
        description="In a table: the column of paths, or of the images themselves. Found when left out.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Data"),
    )
    image_size: Annotated[int, Field(ge=28, le=1024)] | None = Field(
        None,
        title="Image size",
        description="Height and width that every image is brought to. null: found from the images, at most 224.",
        json_schema_extra=in_group("Data", "pixels"),
    )
    augment: Literal["none", "light", "strong"] = Field(
        "light",
        title="Augmentation",
        description="Of images. light: shifted crops and mirror images. strong: also other scales, colours, and erased "
        "patches.",
        json_schema_extra=in_group("Model"),
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
