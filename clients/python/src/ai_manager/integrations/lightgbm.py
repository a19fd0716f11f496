"""LightGBM: `lightgbm.train(…, callbacks=[AIManagerCallback(run)])`, or the same argument of `LGBMClassifier.fit(…)`.

The evaluation metrics of every round are logged as `<data set>/<metric>` at the round's number; the parameters go into
the run's config.
"""

from __future__ import annotations

from typing import Any

from ai_manager.run import Run


class AIManagerCallback:
    """Logs each round's evaluation; of a cross-validation its mean, with `<metric>_std`."""

    order = 25  # after LightGBM's own, which print and record, and before the early stop, which raises
    before_iteration = False

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, environment: Any) -> None:
        """`environment`: LightGBM's CallbackEnv."""
        if environment.iteration == environment.begin_iteration:
            self._run.config["lightgbm"] = dict(environment.params)
        values = {}
        for data, metric, value, _, *deviation in environment.evaluation_result_list or []:
            values[f"{data}/{metric}"] = value
            if deviation:
                values[f"{data}/{metric}_std"] = deviation[0]
        self._run.log(values, step=environment.iteration)
