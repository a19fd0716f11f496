"""Hyperparameters of the Keras image classifiers `inception`, `mobilenet` and `efficientnet`. Imports pydantic only."""

from typing import Annotated, Literal

from pydantic import Field

from trainers.configs.base import in_group
from trainers.configs.fields import Dropout, Name
from trainers.configs.vision import VisionConfig


class KerasVisionConfig(VisionConfig):
    image_size: Annotated[int, Field(ge=32, le=1024)] | None = Field(
        None,
        title="Image size",
        description="Height and width that every image is brought to. null: found from the images, from 32 to 224.",
        json_schema_extra=in_group("Data", "pixels"),
    )
    dropout_rate: Dropout = Field(
        0.2,
        description="Share of the last layer's inputs that is left out at random.",
        json_schema_extra=in_group("Model"),
    )
    weights: Name | None = Field(
        None,
        title="Initial weights",
        description="A file of this architecture's weights to start from, named as data is: a path under /data, or a "
        "data set. .keras, .weights.h5 or .h5, with or without its last layer.",
        json_schema_extra=in_group("Model"),
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        title="Precision",
        description="Type that products of matrices are computed in. auto: float32 on a CPU, bfloat16 on a GPU that "
        "has it.",
        json_schema_extra=in_group("Advanced"),
    )
    compile: bool = Field(
        False,
        title="Compile",
        description="Compile the training step, by XLA on TensorFlow or torch.compile on PyTorch: a slow first step, "
        "then faster ones on a GPU.",
        json_schema_extra=in_group("Advanced"),
    )
    num_gpus: Literal[1] = Field(
        1, title="GPUs", description="These models train on one GPU.", json_schema_extra=in_group("Advanced")
    )
    num_nodes: Literal[1] = Field(
        1, title="Machines", description="These models train on one machine.", json_schema_extra=in_group("Advanced")
    )


class InceptionConfig(KerasVisionConfig):
    image_size: Annotated[int, Field(ge=75, le=1024)] | None = Field(
        None,
        title="Image size",
        description="Height and width that every image is brought to. null: found from the images, from 75 to 224.",
        json_schema_extra=in_group("Data", "pixels"),
    )


class MobileNetConfig(KerasVisionConfig):
    variant: Literal["small", "large"] = Field(
        "large",
        title="Variant",
        description="MobileNetV3-Small or -Large.",
        json_schema_extra=in_group("Model"),
    )


class EfficientNetConfig(KerasVisionConfig):
    variant: Literal[
        "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7",
        "v2-b0", "v2-b1", "v2-b2", "v2-b3", "v2-s", "v2-m", "v2-l",
    ] = Field(
        "b0",
        title="Variant",
        description="EfficientNet-B0 (small) to -B7 (large), or an EfficientNetV2, which learns faster for its size.",
        json_schema_extra=in_group("Model"),
    )  # fmt: skip
