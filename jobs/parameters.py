"""The parameters of an inference. Every model takes all of them, and ignores what means nothing to it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class InferenceParameters(BaseModel):
    """Documented names of the job-queue contract."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    probability: Annotated[bool, Field(description="Answer the probability of every class.")] = False
    top_k: Annotated[int | None, Field(ge=1, le=1000, description="Answer the k likeliest classes or tokens.")] = None
    confidence_threshold: Annotated[
        float | None, Field(ge=0, le=1, description="Below this score the label is null.")
    ] = None
    temperature: Annotated[
        float | None, Field(ge=0.001, le=1000, description="Divides the logits: below 1 sharper, above 1 flatter.")
    ] = None
    max_length: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Longest text read or written, in tokens.")
    ] = None
