"""The parameters of an inference. Every model takes all of them, and ignores what means nothing to it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Stop = Annotated[str, Field(min_length=1, max_length=200)]


class InferenceParameters(BaseModel):
    """Documented names of the job-queue contract."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    probability: Annotated[bool, Field(description="Answer the probability of every class.")] = False
    top_k: Annotated[int | None, Field(ge=1, le=1000, description="Answer the k likeliest classes or tokens.")] = None
    confidence_threshold: Annotated[
        float | None, Field(ge=0, le=1, description="Below this score the label is null.")
    ] = None
    temperature: Annotated[
        float | None,
        Field(
            ge=0,
            le=1000,
            description="Divides the logits: below 1 sharper, above 1 flatter; at 0 a text always goes on with the "
            "likeliest token.",
        ),
    ] = None
    top_p: Annotated[
        float | None, Field(gt=0, le=1, description="Draw from the likeliest tokens that make up this share.")
    ] = None
    seed: Annotated[int | None, Field(ge=0, le=2**32 - 1, description="The same seed draws the same text.")] = None
    stop: Annotated[
        Stop | Annotated[list[Stop], Field(max_length=16)] | None,
        Field(description="A text, or several, before which a generated text ends."),
    ] = None
    max_length: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="Longest text read or written, in tokens.")
    ] = None
