"""What the configs of all trainers that learn by gradient descent share. Imports pydantic only."""

from typing import Annotated, Any, Literal

from pydantic import Field

from trainers.configs.base import UINT32_MAX, OpenFraction, TrainerConfig, in_group
from trainers.configs.fields import BatchSize, Epochs, LearningRate, Share, WeightDecay

# What may be another in a resumed training. What a path names is in the checkpoint already, and may lie elsewhere now.
_FREE = ("checkpoint_seconds", "device", "compile", "early_stopping", "num_gpus", "num_nodes")


class DeepConfig(TrainerConfig):
    epochs: Epochs = 10
    batch_size: BatchSize = Field(
        32,
        description="Examples that one step learns from. One that does not fit into memory is worked through in parts, "
        "with the same result.",
        json_schema_extra=in_group("Model", "examples"),
    )
    learning_rate: LearningRate = 0.001
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw",
        title="Optimizer",
        description="adamw needs little tuning; sgd (with momentum 0.9) is the classic one of convolutional networks.",
        json_schema_extra=in_group("Advanced"),
    )
    weight_decay: WeightDecay = 0.01
    warmup_ratio: Share = Field(
        0.05,
        title="Warm-up",
        description="Share of all steps over which the learning rate rises from zero.",
        json_schema_extra=in_group("Advanced", "share of steps"),
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine",
        title="Schedule",
        description="How the learning rate falls after the warm-up: along a cosine, straight, or not at all.",
        json_schema_extra=in_group("Advanced"),
    )
    gradient_clip: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        1.0,
        title="Gradient clipping",
        description="Longest gradient (its norm over all weights); null for no limit.",
        json_schema_extra=in_group("Advanced"),
    )
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=4096)] = Field(
        1,
        title="Gradient accumulation",
        description="Batches whose gradients are added up for one step.",
        json_schema_extra=in_group("Advanced", "batches"),
    )
    early_stopping: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None,
        title="Early stopping",
        description="Stop after so many epochs without a better score on the held-out part; null never stops early.",
        json_schema_extra=in_group("Advanced", "epochs"),
    )
    validation_split: OpenFraction = Field(
        0.15,
        title="Held-out share",
        description="Share of the examples that is held out and scored, where the data has no such part of its own.",
        json_schema_extra=in_group("Data", "share of examples"),
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        title="Device",
        description="auto takes the worker's GPU, where it has one.",
        json_schema_extra=in_group("Advanced"),
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        title="Precision",
        description="Type that products of matrices are computed in. auto: float32 on a CPU, bfloat16 (or float16) on "
        "a GPU.",
        json_schema_extra=in_group("Advanced"),
    )
    compile: bool = Field(
        False,
        title="Compile",
        description="Compile the model by torch.compile: a slow first step, then faster ones on a GPU.",
        json_schema_extra=in_group("Advanced"),
    )
    num_gpus: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        title="GPUs",
        description="Processes that share every batch, a GPU each; with device cpu, that many processes of the CPU.",
        json_schema_extra=in_group("Advanced", "on each machine"),
    )
    num_nodes: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        title="Machines",
        description="Machines that train together, each with so many GPUs. Its operator must have prepared them.",
        json_schema_extra=in_group("Advanced", "machines"),
    )
    checkpoint_seconds: Annotated[float, Field(ge=0.1, le=86_400)] = Field(
        60.0,
        title="Checkpoint every",
        description="Longest time of training that a killed worker costs. A checkpoint is also made after each epoch.",
        json_schema_extra=in_group("Advanced", "seconds"),
    )
    random_state: Annotated[int, Field(ge=0, le=UINT32_MAX)] | None = Field(
        0,
        title="Random seed",
        description="The same seed gives the same split, weights and order. null draws one and logs it.",
        json_schema_extra=in_group("Advanced"),
    )

    def decides(self) -> dict[str, Any]:
        """The fields that a resumed training must have in common with the one that it goes on with."""
        return self.model_dump(mode="json", exclude={*_FREE, *self.path_fields})

    def as_kept(self) -> dict[str, Any]:
        """The fields as a model's manifest keeps them: without paths of the machine that trained it."""
        return self.model_dump(mode="json", exclude=set(self.path_fields))
