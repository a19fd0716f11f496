"""Hugging Face: `Trainer(…, callbacks=[AIManagerCallback(run)])`.

What the Trainer logs becomes `train/…`, `eval/…` and `test/…` at the global step; its arguments and the model's
configuration go into the run's config. Only the first process logs: give a function that begins the run when several
processes train (`AIManagerCallback(lambda: manager.run(name="bert"))`).
"""

from __future__ import annotations

from typing import Any

from ai_manager.integrations import RunOrBegin, begun
from ai_manager.run import Run

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError("ai_manager.integrations.transformers needs it: pip install transformers") from error

_SPLITS = ("eval", "test")


class AIManagerCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Logs what the Trainer logs."""

    def __init__(self, run: RunOrBegin) -> None:
        self._given = run
        self.run: Run | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        run = self._begun()
        config = {"trainer": args.to_sanitized_dict()}
        if getattr(model, "config", None) is not None:
            config["model"] = model.config.to_dict()
        run.config.update(config)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.is_world_process_zero and logs:
            numbers = {name: value for name, value in logs.items() if isinstance(value, (int, float))}
            self._begun().log({_grouped(name): value for name, value in numbers.items()}, step=state.global_step)

    def _begun(self) -> Run:
        if self.run is None:
            self.run = begun(self._given)
        return self.run


def _grouped(name: str) -> str:
    """`eval_loss` is `eval/loss`; `loss` is `train/loss`, and `train_loss`, the mean at the end, `train/train_loss`."""
    split, mark, rest = name.partition("_")
    if mark and split in _SPLITS:
        return f"{split}/{rest}"
    return name if name == "epoch" else f"train/{name}"
