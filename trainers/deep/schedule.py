"""The learning rate as a function of the step, so that there is nothing to save of it."""

import math


def rate_at(step: int, *, steps: int, warmup_ratio: float, schedule: str) -> float:
    """The share, in (0, 1], of the highest rate that step `step` (from 0) of `steps` uses.

    Linear warm-up, then half a cosine (Loshchilov & Hutter 2017, without restarts), a straight line, or nothing.
    """
    warmup = math.ceil(warmup_ratio * steps)
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(steps - warmup, 1)
    left = 1 - done if schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return max(left, 1e-3)
