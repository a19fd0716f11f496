"""Prometheus' text format (0.0.4): https://prometheus.io/docs/instrumenting/exposition_formats/."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(frozen=True)
class Sample:
    """One value. `suffix` makes the lines of a histogram: "_bucket", "_sum", "_count"."""

    value: float
    labels: Mapping[str, str]
    suffix: str = ""


@dataclass(frozen=True)
class Metric:
    """A metric of the platform; its name is in base units, and ends in `_total` where it only grows."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    samples: Iterable[Sample]


def exposition(metrics: Iterable[Metric]) -> str:
    """The text that a scrape is answered with. A metric without samples is announced all the same."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help.translate(_HELP)}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for sample in metric.samples:
        labels = ",".join(f'{name}="{text.translate(_LABEL)}"' for name, text in sample.labels.items())
        yield (
            f"{metric.name}{sample.suffix}{{{labels}}} {number(sample.value)}"
            if labels
            else (f"{metric.name}{sample.suffix} {number(sample.value)}")
        )


def number(value: float) -> str:
    """A value as Prometheus reads it: 3, 0.25, +Inf, NaN."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
