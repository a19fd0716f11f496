"""Hyperparameters that several families of networks share: type, bounds, words and unit, told once.

A config gives each of them its default, and other words where it means something else by it:
`learning_rate: LearningRate = 0.0006`. Imports pydantic only.
"""

from typing import Annotated, Literal

from pydantic import Field

from trainers.configs.base import in_group

Share = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]  # of a column, a file, a model

# --- Learning --------------------------------------------------------------------------------------------------------
Epochs = Annotated[
    int,
    Field(
        ge=1,
        le=10_000,
        title="Epochs",
        description="How often the whole training set is gone through.",
        json_schema_extra=in_group("Model", "epochs"),
    ),
]
BatchSize = Annotated[int, Field(ge=1, le=65_536, title="Batch size")]
BatchOfSequences = Annotated[
    BatchSize,
    Field(
        description="Sequences that one step learns from. A batch that does not fit into memory is worked through in "
        "parts, with the same result.",
        json_schema_extra=in_group("Model", "sequences"),
    ),
]
LearningRate = Annotated[
    float,
    Field(
        gt=0,
        le=10,
        title="Learning rate",
        description="The highest size of a step; warm-up and schedule lower it.",
        json_schema_extra=in_group("Model"),
    ),
]
WeightDecay = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        title="Weight decay",
        description="Pull of the weights towards zero. Biases and norms are left out.",
        json_schema_extra=in_group("Advanced"),
    ),
]
LabelSmoothing = Annotated[
    Share,
    Field(
        title="Label smoothing",
        description="Share of each target that is spread over all classes.",
        json_schema_extra=in_group("Advanced"),
    ),
]
ClassWeight = Annotated[
    Literal["balanced"] | None,
    Field(
        title="Class weights",
        description="balanced: rare classes count as much as frequent ones.",
        json_schema_extra=in_group("Model"),
    ),
]
Dropout = Annotated[Share, Field(title="Dropout", json_schema_extra=in_group("Advanced"))]

# --- Shape -----------------------------------------------------------------------------------------------------------
NumClasses = Annotated[
    Annotated[int, Field(ge=2, le=100_000)] | None,
    Field(
        title="Classes",
        description="How many classes the model tells apart, at least those that the data has. null: just those.",
        json_schema_extra=in_group("Model", "classes"),
    ),
]
MaxLength = Annotated[int, Field(ge=8, le=32_768, json_schema_extra=in_group("Model", "tokens"))]
Layers = Annotated[int, Field(ge=1, le=200)]
HiddenSize = Annotated[int, Field(ge=8, le=16_384)]
VocabSize = Annotated[int, Field(ge=258, le=262_144)]
NumHeads = Annotated[
    Annotated[int, Field(ge=1, le=256)] | None,
    Field(
        title="Attention heads",
        description="Must divide the hidden size. null: one for each 64 of it.",
        json_schema_extra=in_group("Model", "heads"),
    ),
]

# --- Data ------------------------------------------------------------------------------------------------------------
TextColumn = Annotated[
    Name | None,
    Field(
        title="Text column",
        description="In a table or JSON lines: the field of the text. Found when left out.",
        json_schema_extra=in_group("Data"),
    ),
]
ImageColumn = Annotated[
    Name | None,
    Field(
        title="Image column",
        description="In a table: the column of paths, or of the images themselves. Found when left out.",
        json_schema_extra=in_group("Data"),
    ),
]
LabelColumn = Annotated[Name | None, Field(title="Label column", json_schema_extra=in_group("Data"))]
ImageSize = Annotated[
    Annotated[int, Field(ge=28, le=1024)] | None,
    Field(
        title="Image size",
        description="Height and width that every image is brought to. null: found from the images, at most 224.",
        json_schema_extra=in_group("Data", "pixels"),
    ),
]
Augment = Annotated[
    Literal["none", "light", "strong"], Field(title="Augmentation", json_schema_extra=in_group("Model"))
]
