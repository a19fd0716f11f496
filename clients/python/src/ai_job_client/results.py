"""What a finished job made, as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_job_client.errors import JobFailed
from ai_job_client.types import JobStatus


@dataclass(frozen=True)
class TrainingResult:
    """A trained model. `metrics` has `training_time` in seconds, and `accuracy`, `r2` or `perplexity`."""

    job_id: str
    model_id: str
    model_path: str
    framework: str
    framework_version: str = ""
    backend: str = ""
    device: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, status: JobStatus) -> TrainingResult:
        """The result of a completed training.

        Raises:
            JobFailed: the job did not complete.
        """
        result = _result(status)
        return cls(
            job_id=status["job_id"],
            model_id=str(result["model_id"]),
            model_path=str(result["model_path"]),
            framework=str(result["framework"]),
            framework_version=str(result.get("framework_version") or ""),
            backend=str(result.get("backend") or ""),
            device=str(result.get("device") or ""),
            metrics={name: float(value) for name, value in (result.get("metrics") or {}).items() if value is not None},
        )


@dataclass(frozen=True)
class Prediction:
    """The answer for one input: `label` and `score` of a classifier, `value` of a regression, `text` of a language
    model; `raw` is all that the server answered.

    `label` is None where no class reached the `confidence_threshold`. `probabilities` and `top_k` are there where they
    were asked for.
    """

    raw: Mapping[str, Any]
    label: str | None = None
    score: float | None = None
    value: float | None = None
    text: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    top_k: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Prediction:
        """The prediction that the server wrote as `raw`."""
        score, value = raw.get("score"), raw.get("value")
        return cls(
            raw=raw,
            label=raw.get("label"),
            score=None if score is None else float(score),
            value=None if value is None else float(value),
            text=raw.get("text"),
            probabilities=raw.get("probabilities") or {},
            top_k=tuple((each["label"], float(each["score"])) for each in raw.get("top_k") or ()),
        )


@dataclass(frozen=True)
class InferenceResult:
    """The predictions of one inference job, in the order of its inputs."""

    job_id: str
    model_id: str
    predictions: tuple[Prediction, ...]

    @classmethod
    def of(cls, status: JobStatus) -> InferenceResult:
        """The result of a completed inference.

        Raises:
            JobFailed: the job did not complete.
        """
        result = _result(status)
        return cls(
            job_id=status["job_id"],
            model_id=str(result["model_id"]),
            predictions=tuple(Prediction.of(raw) for raw in result["predictions"]),
        )


def _result(status: JobStatus) -> Mapping[str, Any]:
    result = status["result"]
    if status["status"] != "completed" or result is None:
        raise JobFailed(status)
    return result
