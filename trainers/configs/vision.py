"""Hyperparameters of the image classifiers `resnet`, `vgg` and `alexnet`. Imports pydantic only."""

from typing import Literal

from pydantic import Field

from trainers.configs.base import in_group
from trainers.configs.deep import DeepConfig
from trainers.configs.fields import (
    Augment,
    ClassWeight,
    Dropout,
    ImageColumn,
    ImageSize,
    LabelColumn,
    LabelSmoothing,
    Name,
    NumClasses,
)


class VisionConfig(DeepConfig):
    path_fields = ("weights",)

    image_size: ImageSize = None
    num_classes: NumClasses = None
    image_column: ImageColumn = None
    label_column: LabelColumn = Field(None, description="In a table: the column of classes. Found when left out.")
    augment: Augment = Field(
        "light",
        description="light: shifted crops and mirror images. strong: also other scales, colours, and erased patches.",
    )
    flip: bool | None = Field(
        None,
        title="Mirror images",
        description="Whether a mirror image is of the same class. null: yes, but for small grey images (digits, "
        "letters).",
        json_schema_extra=in_group("Advanced"),
    )
    label_smoothing: LabelSmoothing = 0.0
    class_weight: ClassWeight = None
    weights: Name | None = Field(
        None,
        title="Initial weights",
        description="A file of weights with torchvision's names to start from, named as data is: a path under /data, "
        "or a data set. .safetensors, or .pth of tensors alone.",
        json_schema_extra=in_group("Model"),
    )


class ResNetConfig(VisionConfig):
    depth: Literal[18, 34, 50] = Field(
        50, title="Depth", description="ResNet-18, -34 or -50.", json_schema_extra=in_group("Model", "layers")
    )
    dropout_rate: Dropout = Field(0.0, description="Share of the last layer's inputs that is left out at random.")


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
    dropout_rate: Dropout = Field(0.5, description="Share of the classifier's inputs that is left out at random.")


class AlexNetConfig(VisionConfig):
    dropout_rate: Dropout = Field(0.5, description="Share of the classifier's inputs that is left out at random.")
