"""Hyperparameters of the image classifiers `resnet`, `vgg` and `alexnet`. Imports pydantic only."""

from typing import Annotated, Literal

from pydantic import Field

from trainers.configs.base import in_group
from trainers.configs.deep import DeepConfig


class VisionConfig(DeepConfig):
    path_fields = ("weights",)

    image_size: Annotated[int, Field(ge=28, le=1024)] | None = Field(
        None,
        title="Image size",
        description="Height and width that every image is brought to. null: found from the images, at most 224.",
        json_schema_extra=in_group("Data", "pixels"),
    )
    num_classes: Annotated[int, Field(ge=2, le=100_000)] | None = Field(
        None,
        title="Classes",
        description="How many classes the model tells apart, at least those that the data has. null: just those.",
        json_schema_extra=in_group("Model", "classes"),
    )
    image_column: str | None = Field(
        None,
        title="Image column",
        description="In a table: the column of paths, or of the images themselves. Found when left out.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Data"),
    )
    label_column: str | None = Field(
        None,
        title="Label column",
        description="In a table: the column of classes. Found when left out.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Data"),
    )
    augment: Literal["none", "light", "strong"] = Field(
        "light",
        title="Augmentation",
        description="light: shifted crops and mirror images. strong: also other scales, colours, and erased patches.",
        json_schema_extra=in_group("Model"),
    )
    flip: bool | None = Field(
        None,
        title="Mirror images",
        description="Whether a mirror image is of the same class. null: yes, but for small grey images (digits, "
        "letters).",
        json_schema_extra=in_group("Advanced"),
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        title="Label smoothing",
        description="Share of each target that is spread over all classes.",
        json_schema_extra=in_group("Advanced"),
    )
    class_weight: Literal["balanced"] | None = Field(
        None,
        title="Class weights",
        description="balanced: rare classes count as much as frequent ones.",
        json_schema_extra=in_group("Model"),
    )
    weights: str | None = Field(
        None,
        title="Initial weights",
        description="A file of weights with torchvision's names to start from, named as data is: a path under /data, "
        "or a data set. .safetensors, or .pth of tensors alone.",
        min_length=1,
        max_length=1000,
        json_schema_extra=in_group("Model"),
    )


class ResNetConfig(VisionConfig):
    depth: Literal[18, 34, 50] = Field(
        50, title="Depth", description="ResNet-18, -34 or -50.", json_schema_extra=in_group("Model", "layers")
    )
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        title="Dropout",
        description="Share of the last layer's inputs that is left out at random.",
        json_schema_extra=in_group("Advanced"),
    )


class VGGConfig(VisionConfig):
    depth: Literal[11, 16] = Field(
        11, title="Depth", description="VGG-11 or -16.", json_schema_extra=in_group("Model", "layers")
    )
    batch_norm: bool = Field(
        True,
        title="Batch norms",
        description="A batch norm behind each convolution. Must be as in the weights it starts from.",
        json_schema_extra=in_group("Model"),
    )
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5,
        title="Dropout",
        description="Share of the classifier's inputs that is left out at random.",
        json_schema_extra=in_group("Advanced"),
    )


class AlexNetConfig(VisionConfig):
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.5,
        title="Dropout",
        description="Share of the classifier's inputs that is left out at random.",
        json_schema_extra=in_group("Advanced"),
    )
