"""The parameters of an inference, the same for every model. Each model uses those that mean something to it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class InferenceParameters(BaseModel):
    """Documented names of the job-queue contract."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    probability: Annotated[bool, Field(strict=True, description="Answer the probability of every class.")] = False
    top_k: Annotated[
        int | None, Field(strict=True, ge=1, le=1000, description="Answer the k likeliest classes or tokens.")
    ] = None
    top_p: Annotated[
        float | None, Field(gt=0, le=1, description="Sample from the smallest set of tokens with this probability.")
    ] = None
    confidence_threshold: Annotated[
        float | None, Field(ge=0, le=1, description="Below this score the label is null.")
    ] = None
    temperature: Annotated[
        float | None, Field(gt=0, le=100, description="Divides the logits: below 1 sharper, above 1 flatter.")
    ] = None
    max_length: Annotated[
        int | None, Field(strict=True, ge=1, le=1_000_000, description="Longest text read or written, in tokens.")
    ] = None
