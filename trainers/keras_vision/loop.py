"""The training loop of the Keras classifiers: epochs of steps, watched, stopped, killed and resumed at any of them.

As `trainers.deep.loop`, whose series and messages it shares: weights, optimizer, the layers' random generators and the
place in the epoch's order come from the checkpoint, the order itself and the rate from seed and step.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, NoReturn

import numpy as np

from trainers import room
from trainers.configs.keras_vision import KerasVisionConfig
from trainers.deep.classes import class_weights
from trainers.deep.progress import Progress, Teller, chunks, parts
from trainers.deep.schedule import rate_at
from trainers.keras_vision import checkpoint
from trainers.keras_vision.backend import Compute, engine, keras
from trainers.protocol import ModelProblem, Reporter, Stopped, TrainerError
from trainers.vision.augment import middle
from trainers.vision.data import LEAST, ImageSet

UNIT = "images"
WATCHED = "val_accuracy"
BEST = "best"
AHEAD = 4  # batches that are made ready while one is learnt from


def fit(
    model: Any,
    images: ImageSet,
    config: KerasVisionConfig,
    compute: Compute,
    reporter: Reporter,
    *,
    seed: int,
    fingerprint: str,
) -> Progress:
    """Train `model` within the scope of `compute`; then it has the weights of its best epoch.

    `fingerprint` names data and config: a checkpoint of others is not resumed.

    Raises:
        TrainerError: the loss is no number any more, or one example alone does not fit into memory.
        Stopped: it was asked to; the checkpoint is written.
    """
    with contextlib.nullcontext() if compute.on_gpu else room.training_memory():
        return _Loop(model, images, config, compute, reporter, seed, fingerprint).run()


def steps_of(images: ImageSet, config: KerasVisionConfig) -> int:
    """Steps of the whole training."""
    return len(chunks(len(images.train), 0, _chunk(config), LEAST)) * config.epochs


def probabilities(
    model: Any, images: ImageSet, places: np.ndarray, *, batch_size: int, reporter: Reporter
) -> np.ndarray:
    """(n, classes) for the images at these places, unchanged. Of outputs without a class nothing was learnt.

    Raises:
        TrainerError: the model's answers are no numbers any more.
        Stopped: it was asked to.
    """
    found = []
    for begin in range(0, len(places), batch_size):
        if reporter.should_stop():
            raise Stopped
        pixels = middle(images.pixels[places[begin : begin + batch_size]], images.size)
        logits = logits_of(model, pixels)[:, : len(images.classes)]
        if not np.isfinite(logits).all():
            raise TrainerError(
                "The model's answers are no numbers: the training has diverged. Use a lower learning_rate."
            )
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found.append(powers / powers.sum(axis=1, keepdims=True))
    return np.concatenate(found)


def logits_of(model: Any, pixels: np.ndarray) -> np.ndarray:
    """(n, size, size, 3) unsigned bytes -> (n, outputs)."""
    found: np.ndarray = model.predict_on_batch(pixels.astype(np.float32))
    return found


class _Loop:
    def __init__(
        self,
        model: Any,
        images: ImageSet,
        config: KerasVisionConfig,
        compute: Compute,
        reporter: Reporter,
        seed: int,
        fingerprint: str,
    ) -> None:
        self.model, self.images, self.config, self.reporter = model, images, config, reporter
        self.seed, self.fingerprint = seed, fingerprint
        self.augmentation = images.augmentation(config)
        self.class_weights = np.ones(model.output_shape[1])
        if config.class_weight:
            self.class_weights = class_weights(images.labels[images.train], model.output_shape[1])
        self.optimizer = _optimizer(model, config)
        self.backend = engine()
        self.engine = self.backend.Engine(
            model, self.optimizer, label_smoothing=config.label_smoothing, compile=config.compile
        )
        self.chunk = _chunk(config)
        self.items = len(images.train)
        self.steps = steps_of(images, config)
        self.progress = Progress(part=min(config.batch_size, self.items))
        self.saved_at = self.resumed_at = time.perf_counter()
        self.teller = Teller(
            reporter,
            self.progress,
            unit=UNIT,
            items=self.items,
            epochs=config.epochs,
            read=self.backend.read,
            memory_bytes=lambda: self.backend.peak_memory_bytes(compute.on_gpu),
            remedy="Use a lower learning_rate" + ("." if compute.policy == "float32" else " or precision float32."),
        )

    # --- Epochs and steps -------------------------------------------------------------------------------------------
    def run(self) -> Progress:
        progress = self.progress
        self._resume()
        first = True
        while progress.epoch < self.config.epochs and not self._is_done_early():
            for batch in self._batches():
                loss, rate = self._learn(batch)
                if first and room.is_short():
                    room.give_back()
                first = False
                examples = len(batch["labels"])
                progress.position += examples
                progress.step += 1
                self.teller.step(loss, examples=examples, rate=rate)
                if self.reporter.should_stop():
                    self._stop()
                if time.perf_counter() - self.saved_at >= self.config.checkpoint_seconds:
                    self._save()
            self._end_epoch()
        self._take_best()
        progress.seconds = self._seconds()
        return progress

    def _batches(self) -> Iterator[dict[str, np.ndarray]]:
        """What is left of this epoch, made ready ahead by threads: most of the work is numpy's and Pillow's."""
        order = np.random.default_rng([self.seed, self.progress.epoch]).permutation(self.items)
        stretches = deque(chunks(self.items, self.progress.position, self.chunk, LEAST))
        epoch, waiting = self.progress.epoch, deque[Future[dict[str, np.ndarray]]]()
        with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), AHEAD)) as pool:
            try:
                while stretches or waiting:
                    while stretches and len(waiting) < AHEAD:
                        begin, end = stretches.popleft()
                        waiting.append(pool.submit(self._batch, order[begin:end], epoch))
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, order: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
        """Images (n, size, size, 3) of unsigned bytes, class numbers (n,), and weights of losses (n,), 1 together."""
        places = self.images.train[order]
        labels = self.images.labels[places]
        weights = self.class_weights[labels]
        return {
            "images": self.augmentation.batch(self.images.pixels[places], places.tolist(), seed=self.seed, epoch=epoch),
            "labels": labels,
            "weights": (weights / weights.sum()).astype(np.float32),
        }

    def _learn(self, batch: dict[str, np.ndarray]) -> tuple[Any, float]:
        """One step of the optimizer: (mean loss, learning rate)."""
        config = self.config
        rate = config.learning_rate * rate_at(
            self.progress.step, steps=self.steps, warmup_ratio=config.warmup_ratio, schedule=config.schedule
        )
        self.optimizer.learning_rate = rate
        while (done := self._gradients(batch)) is None:
            self._halve()
        loss, gradients = done
        self.engine.step(gradients)
        return loss, rate

    def _gradients(self, batch: dict[str, np.ndarray]) -> tuple[Any, list[Any]] | None:
        """Loss and gradients, added up over the parts of the batch; None where a part did not fit into memory."""
        total: tuple[Any, list[Any]] | None = None
        try:
            for part in parts(batch, self.progress.part, LEAST):
                loss, gradients = self.engine.gradients(part)
                total = (loss, gradients) if total is None else (total[0] + loss, self.engine.add(total[1], gradients))
        except Exception as error:
            if not self.backend.is_out_of_memory(error):
                raise
            self.backend.forgo_kernels(error)
            return None  # and with this frame goes what the part held
        return total

    def _halve(self) -> None:
        part = self.progress.part
        if part <= LEAST:
            raise TrainerError(
                f"There is not enough memory for {part} of the {UNIT}; use a smaller model or smaller inputs.",
                details={"batch_size": self.config.batch_size},
            )
        self.progress.part = max(part // 2, LEAST)
        self.backend.free_memory()
        room.give_back()
        self.reporter.log(
            "WARN",
            f"{part} {UNIT} at once do not fit into memory; going on with {self.progress.part}, "
            f"whose gradients are added up to batches of {self.chunk}",
        )

    # --- Ends of epochs ---------------------------------------------------------------------------------------------
    def _end_epoch(self) -> None:
        progress = self.progress
        self.teller.flush()
        try:
            metrics = self._evaluate()
        except Stopped:
            self._stop()
        is_best = progress.end_epoch(metrics, watched=WATCHED, higher_is_better=True)
        self.reporter.metrics({**metrics, "epoch": float(progress.epoch)}, step=progress.step)
        told = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.reporter.log("INFO", f"epoch {progress.epoch} of {self.config.epochs}: {told}")
        if is_best:
            arrays = checkpoint.variables_of("model", self.model.variables)
            checkpoint.save(self.reporter.checkpoint() / BEST, arrays, {}, step=progress.step)
        self._save()
        self.teller.rest()

    def _evaluate(self) -> dict[str, float]:
        """Loss and accuracy of the held-out part. Raises Stopped."""
        found = probabilities(
            self.model, self.images, self.images.val, batch_size=self.progress.part, reporter=self.reporter
        )
        labels = self.images.labels[self.images.val]
        chosen = np.clip(found[np.arange(len(labels)), labels], 1e-15, 1)
        return {
            "val_loss": float(-np.log(chosen).mean()),
            "val_accuracy": float((found.argmax(axis=1) == labels).mean()),
        }

    def _is_done_early(self) -> bool:
        patience = self.config.early_stopping
        if not self.progress.is_out_of_patience(patience):
            return False
        self.reporter.log("INFO", f"stopped early: {patience} epochs without a better {WATCHED}")
        return True

    def _stop(self) -> NoReturn:
        self._save()
        self.reporter.log("INFO", f"stopped in epoch {self.progress.epoch + 1}; the checkpoint is kept")
        raise Stopped

    # --- Checkpoints ------------------------------------------------------------------------------------------------
    def _save(self) -> None:
        self.teller.flush()
        self.progress.seconds = self._seconds()
        self.resumed_at = time.perf_counter()
        arrays = {
            **checkpoint.variables_of("model", self.model.variables),
            **checkpoint.variables_of("optimizer", self.optimizer.variables),
            **{f"random/{name}": state for name, state in self.backend.random_state().items()},
        }
        state = {"fingerprint": self.fingerprint, "progress": asdict(self.progress), "told": self.teller.told}
        checkpoint.save(self.reporter.checkpoint(), arrays, state, step=self.progress.step)
        self.saved_at = time.perf_counter()

    def _resume(self) -> None:
        try:
            found = checkpoint.newest(self.reporter.checkpoint())
        except ModelProblem as problem:
            self.reporter.log("WARN", f"{problem.message} The training begins anew.")
            return
        if found is None:
            return
        arrays, state = found
        if state.get("fingerprint") != self.fingerprint:
            self.reporter.log("WARN", "The checkpoint is of other data or hyperparameters; the training begins anew.")
            return
        checkpoint.set_model(self.model, arrays)
        checkpoint.set_variables("optimizer", self.optimizer.variables, arrays)
        self.backend.restore_random_state(
            {name.removeprefix("random/"): each for name, each in arrays.items() if name.startswith("random/")}
        )
        for name, value in state["progress"].items():
            setattr(self.progress, name, value)
        self.teller.tell_again(state["told"])
        self.reporter.log(
            "INFO", f"resumed in epoch {self.progress.epoch + 1} after step {self.progress.step} of {self.steps}"
        )

    def _take_best(self) -> None:
        best = checkpoint.newest(self.reporter.checkpoint() / BEST)
        if best is not None:
            checkpoint.set_model(self.model, best[0])

    def _seconds(self) -> float:
        return self.progress.seconds + time.perf_counter() - self.resumed_at


def _chunk(config: KerasVisionConfig) -> int:
    """Examples of one step."""
    return config.batch_size * config.gradient_accumulation_steps


def _optimizer(model: Any, config: KerasVisionConfig) -> Any:
    """Built, so that it has its variables; the pull of `weight_decay` leaves biases and norms alone."""
    shared = {"weight_decay": config.weight_decay, "global_clipnorm": config.gradient_clip}
    if config.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(config.learning_rate, momentum=0.9, nesterov=True, **shared)
    else:
        optimizer = keras.optimizers.AdamW(config.learning_rate, **shared)
    flat = [variable for variable in model.trainable_variables if len(variable.shape) <= 1]
    optimizer.exclude_from_weight_decay(var_list=flat)
    optimizer.build(model.trainable_variables)
    return optimizer
