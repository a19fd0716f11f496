"""The loop that all torch trainers share: epochs of steps, watched, stopped, killed and resumed at any of them.

A resumed training ends with the loss curve of one that was never interrupted: weights, optimizer, random generators
and the place in the epoch's order come from the checkpoint, the order itself and the rate from seed and step.

Several processes may go through it side by side (`trainers.deep.group`): what the first one decides, all do at once.
"""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol, cast

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from trainers import room
from trainers.configs.deep import DeepConfig
from trainers.deep import checkpoint, group
from trainers.deep.device import (
    Compute,
    forgo_kernels,
    is_out_of_memory,
    loader_processes,
    order_of_epoch,
    peak_memory_bytes,
    random_state,
    restore_random_state,
)
from trainers.deep.group import NothingLeft, PartTooLarge
from trainers.deep.progress import Progress, Teller, chunks, parts
from trainers.deep.schedule import rate_at
from trainers.protocol import DataProblem, ModelProblem, Reporter, Stopped, TrainerError

BEST = "best"
GO_ON, SAVE, STOP = range(3)  # what the first process decides after a step

Batch = dict[str, torch.Tensor]  # the first dimension of each counts the examples


class Work(Protocol):
    """What a family of models brings to the loop."""

    model: nn.Module
    items: int  # examples of the training part
    unit: str  # what they are, in the plural: "images"
    least_part: int  # examples that one forward pass needs (2 for batch norms)
    watched: str  # the metric of `evaluate` that says which epoch is the best
    higher_is_better: bool

    def load(self, indices: Sequence[int], epoch: int) -> Batch:
        """These examples. Called in other processes too; what is random in it comes from seed, epoch and index."""

    def weight(self, batch: Batch) -> float:
        """What the sum that `loss` gives is divided by for a mean: examples, tokens, or the weights of classes."""

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The sum of the losses of a batch on the device."""

    def evaluate(self, model: nn.Module, compute: Compute, batch_size: int) -> dict[str, float]:
        """Metrics of the held-out part, `watched` among them."""


def fit(
    work: Work, config: DeepConfig, compute: Compute, reporter: Reporter, *, seed: int, fingerprint: str
) -> Progress:
    """Train `work.model`, which then has the weights of its best epoch.

    `fingerprint` names data and config: a checkpoint of others is not resumed.

    Raises:
        TrainerError: the loss is no number any more, one example alone (or the model) does not fit into memory, there
            are fewer examples than processes, or these do not resume from the same step.
        Stopped: it was asked to; the checkpoint is written.
        NothingLeft, PartTooLarge: in a group of processes, see there.
    """
    with contextlib.nullcontext() if compute.device.type == "cuda" else room.training_memory():
        try:
            return _Loop(work, config, compute, reporter, seed, fingerprint).run()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainerError(
                "There is not enough memory for the model, or for one batch of data; use a smaller batch_size, model, "
                "or inputs.",
                details={"batch_size": config.batch_size},
            ) from error


@contextlib.contextmanager
def stoppable(model: nn.Module, reporter: Reporter) -> Iterator[None]:
    """Around passes that learn nothing: each of them begins with a look at `should_stop`, and raises Stopped."""

    def look(*_: Any) -> None:
        if reporter.should_stop():
            raise Stopped

    handle = model.register_forward_pre_hook(look)
    try:
        yield
    finally:
        handle.remove()


class _Loop:
    def __init__(
        self, work: Work, config: DeepConfig, compute: Compute, reporter: Reporter, seed: int, fingerprint: str
    ) -> None:
        self.work, self.config, self.compute, self.reporter = work, config, compute, reporter
        self.seed, self.fingerprint = seed, fingerprint
        self.group = group.current()
        self.least = work.least_part * self.group.size  # examples of a step
        if work.items < self.least:
            raise DataProblem(f"{work.items} {work.unit} to learn from are too few for {self.group.size} processes.")
        self.model = work.model.to(compute.device)
        self.parallel = self.group.wrapped(self.model, compute)
        self.running = self._compiled(self.parallel)
        self.optimizer = _optimizer(self.model, config, compute)
        self.scaler = _scaler(compute)
        self.chunk = config.batch_size * config.gradient_accumulation_steps
        self.steps = len(chunks(work.items, 0, self.chunk, self.least)) * config.epochs
        self.progress = Progress(part=math.ceil(min(config.batch_size, work.items) / self.group.size))
        self.saved_at = self.resumed_at = time.perf_counter()
        self.remedy = "Use a lower learning_rate" + (" or precision float32." if compute.autocast_type else ".")
        self.teller = Teller(
            reporter,
            self.progress,
            unit=work.unit,
            items=work.items,
            epochs=config.epochs,
            read=lambda losses: torch.stack(list(losses)).tolist(),
            memory_bytes=lambda: peak_memory_bytes(compute),
            remedy=self.remedy,
        )

    # --- Epochs and steps -------------------------------------------------------------------------------------------
    def run(self) -> Progress:
        progress = self.progress
        self.group.draw_apart(self.seed)
        self._resume()
        first = True
        if self.group.total(progress.step) != self.group.size * progress.step:
            raise TrainerError(
                f"Not all of the {self.group.size} processes see the checkpoint of step {progress.step}: their "
                "machines must share the data directory."
            )
        progress.part = min(progress.part, self.group.largest_part or progress.part)
        while progress.epoch < self.config.epochs and not self.group.agreed(self._is_done_early()):
            self.model.train()
            for batch, examples in self._batches():
                loss = self._learn(batch)
                if first and room.is_short():
                    room.give_back()
                first = False
                progress.position += examples
                progress.step += 1
                self.teller.step(loss, examples=examples, rate=self.optimizer.param_groups[0]["lr"])
                decision = self.group.agreed(self._decision())
                if decision != GO_ON:
                    self._save(self.group.random_states())
                if decision == STOP:
                    self._stop()
            self._end_epoch()
        if not self.group.leads:
            raise NothingLeft
        if progress.has_diverged:
            raise TrainerError(f"The held-out scores are no numbers: the training has diverged. {self.remedy}")
        self._take_best()
        progress.seconds = self._seconds()
        return progress

    def _decision(self) -> int:
        if self.reporter.should_stop():
            return STOP
        return SAVE if time.perf_counter() - self.saved_at >= self.config.checkpoint_seconds else GO_ON

    def _stop(self) -> None:
        self.reporter.log("INFO", f"stopped in epoch {self.progress.epoch + 1}; the checkpoint is kept")
        raise Stopped

    def _batches(self) -> Iterator[tuple[Batch, int]]:
        """What is left of this epoch: each batch on the CPU (this process's share), and how many examples it has."""
        progress = self.progress
        order = order_of_epoch(self.work.items, seed=self.seed, epoch=progress.epoch)
        batches = [
            order[begin:end] for begin, end in chunks(self.work.items, progress.position, self.chunk, self.least)
        ]
        loader = DataLoader(
            _Batches(self.work, [self.group.share(batch) for batch in batches], progress.epoch),
            batch_size=None,
            num_workers=loader_processes(self.work.items),
            pin_memory=self.compute.device.type == "cuda",
            generator=torch.Generator(),  # it draws a seed for its processes: not from the model's generator
        )
        for indices, batch in zip(batches, loader, strict=True):
            yield batch, len(indices)

    def _learn(self, batch: Batch) -> torch.Tensor:
        """One step of the optimizer. The mean loss."""
        progress, config = self.progress, self.config
        factor = rate_at(progress.step, steps=self.steps, warmup_ratio=config.warmup_ratio, schedule=config.schedule)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = config.learning_rate * factor
        while (loss := self._gradients(batch)) is None:
            self._halve()
        if config.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _gradients(self, batch: Batch) -> torch.Tensor | None:
        """Add up the gradients of the batch, part by part. Its mean loss; None where a part did not fit into memory."""
        self.optimizer.zero_grad(set_to_none=True)
        share = self.group.total(self.work.weight(batch)) / self.group.size  # the mean of all processes is taken
        sum_of_losses = torch.zeros((), device=self.compute.device)
        pieces = list(parts(batch, self.progress.part, self.work.least_part))
        try:
            for number, part in enumerate(pieces, 1):
                moved = {name: each.to(self.compute.device, non_blocking=True) for name, each in part.items()}
                with self.group.alone(self.parallel, last=number == len(pieces)):
                    with self.compute.autocast():
                        loss = self.work.loss(self.running, moved) / share
                    self.scaler.scale(loss).backward()
                sum_of_losses += loss.detach()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            forgo_kernels(error)
            return None  # and with this frame goes what the part held
        return self.group.mean(sum_of_losses)

    def _halve(self) -> None:
        part = self.progress.part
        if part <= self.work.least_part:
            raise TrainerError(
                f"There is not enough memory for {part} of the {self.work.unit}; use a smaller model or "
                "smaller inputs.",
                details={"batch_size": self.config.batch_size},
            )
        if self.group.size > 1:
            raise PartTooLarge(part)  # the others already wait for the gradients of this one: all begin anew
        self.progress.part = max(part // 2, self.work.least_part)
        if self.compute.device.type == "cuda":
            torch.cuda.empty_cache()
        else:
            room.give_back()
        self.reporter.log(
            "WARN",
            f"{part} {self.work.unit} at once do not fit into memory; going on with {self.progress.part}, "
            f"whose gradients are added up to batches of {self.chunk}",
        )

    # --- What is told -----------------------------------------------------------------------------------------------
    def _end_epoch(self) -> None:
        self.teller.flush()
        random_states = self.group.random_states()
        is_scored = self.group.agreed(self._score() if self.group.leads else True)
        if is_scored and not self.group.leads:
            self.progress.epoch, self.progress.position = self.progress.epoch + 1, 0
        self._save(random_states)
        if not is_scored:
            self._stop()
        self.teller.rest()

    def _score(self) -> bool:
        """Evaluate the epoch, and keep its weights if it is the best. False where it was asked to stop meanwhile."""
        progress, work = self.progress, self.work
        running = self.running if self.group.size == 1 else self.model  # the others take no part
        self.model.eval()
        try:
            with stoppable(running, self.reporter):
                metrics = work.evaluate(running, self.compute, progress.part)
        except Stopped:
            return False
        is_best = progress.end_epoch(metrics, watched=work.watched, higher_is_better=work.higher_is_better)
        self.reporter.metrics({**metrics, "epoch": float(progress.epoch)}, step=progress.step)
        told = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.reporter.log("INFO", f"epoch {progress.epoch} of {self.config.epochs}: {told}")
        if is_best:
            checkpoint.save(self.reporter.checkpoint() / BEST, {"model": self.model.state_dict()}, step=progress.step)
        return True

    def _is_done_early(self) -> bool:
        patience = self.config.early_stopping
        if not self.progress.is_out_of_patience(patience):
            return False
        self.reporter.log("INFO", f"stopped early: {patience} epochs without a better {self.work.watched}")
        return True

    # --- Checkpoints ------------------------------------------------------------------------------------------------
    def _save(self, random_states: list[dict[str, torch.Tensor]]) -> None:
        self.teller.flush()
        self.progress.seconds = self._seconds()
        self.saved_at = self.resumed_at = time.perf_counter()
        if not self.group.leads:
            return
        state = {
            "fingerprint": self.fingerprint,
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random_state(),
            "random_of_group": random_states,
            "told": self.teller.told,
        }
        checkpoint.save(self.reporter.checkpoint(), state, step=self.progress.step)
        self.saved_at = time.perf_counter()

    def _resume(self) -> None:
        try:
            state = checkpoint.newest(self.reporter.checkpoint())
        except ModelProblem as problem:
            self.reporter.log("WARN", f"{problem.message} The training begins anew.")
            return
        if state is None:
            return
        if state.get("fingerprint") != self.fingerprint:
            self.reporter.log("WARN", "The checkpoint is of other data or hyperparameters; the training begins anew.")
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # it began where nothing was to be scaled
            self.scaler.load_state_dict(state["scaler"])
        restore_random_state(state["random"])
        self.group.restore_random_state(state.get("random_of_group", []), seed=self.seed + state["progress"]["step"])
        for name, value in state["progress"].items():
            setattr(self.progress, name, value)
        self.teller.tell_again(state["told"])
        self.reporter.log(
            "INFO", f"resumed in epoch {self.progress.epoch + 1} after step {self.progress.step} of {self.steps}"
        )

    def _take_best(self) -> None:
        best = checkpoint.newest(self.reporter.checkpoint() / BEST)
        if best is not None:
            self.model.load_state_dict(best["model"])
        self.model.eval()

    def _seconds(self) -> float:
        return self.progress.seconds + time.perf_counter() - self.resumed_at

    def _compiled(self, model: nn.Module) -> nn.Module:
        if not self.config.compile:
            return model
        self.reporter.log("INFO", "compiling the model; the first step takes long")
        torch._dynamo.config.suppress_errors = True  # what cannot be compiled here runs as it is
        try:
            compiled: Any = torch.compile(model)
        except RuntimeError as error:  # torch 2.0 on Python 3.11, for one
            self.reporter.log("WARN", f"the model cannot be compiled here, and runs as it is: {error}")
            return model
        return cast(nn.Module, compiled)


class _Batches(Dataset[Batch]):
    """Batch by batch, for a loader that neither batches nor shuffles."""

    def __init__(self, work: Work, batches: Sequence[Sequence[int]], epoch: int) -> None:
        self.work, self.batches, self.epoch = work, batches, epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> Batch:
        return self.work.load(self.batches[number], self.epoch)


def _optimizer(model: nn.Module, config: DeepConfig, compute: Compute) -> torch.optim.Optimizer:
    trained = [each for each in model.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},  # biases and norms
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    version = tuple(map(int, torch.__version__.split(".")[:2]))
    has_kernel = compute.device.type == "cuda" or version >= (2, 4)  # which brought one for the CPU
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=has_kernel)


def _scaler(compute: Compute) -> Any:
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(compute.device.type, enabled=compute.scales_gradients)
    return torch.cuda.amp.GradScaler(enabled=compute.scales_gradients)  # torch before 2.3
