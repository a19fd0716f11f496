"""Callbacks and loggers for training libraries, each in a module of its own, which imports that library.

All of them log into a run that is begun, and ended, by whoever uses them:

    with manager.run(name="resnet") as run:
        model.fit(x, y, callbacks=[AIManagerCallback(run)])

Those for libraries that train in several processes also take a function that begins the run; it is called in the first
process only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Union

from ai_manager.run import Run

RunOrBegin = Union[Run, Callable[[], Run]]


def begun(run: RunOrBegin) -> Run:
    """The run itself, or the one that the function begins."""
    return run if isinstance(run, Run) else run()
