"""The torch loop: a killed and resumed training is the same training, memory that is short is shared out, and more."""

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.trainers.conftest import Recorder
from trainers.configs.deep import DeepConfig
from trainers.deep import device, loop
from trainers.deep.progress import chunks
from trainers.deep.schedule import rate_at
from trainers.protocol import Stopped, TrainerError


class Spirals:
    """A small classification with dropout, so that random draws decide the curve too."""

    unit = "points"
    least_part = 1
    watched = "val_accuracy"
    higher_is_better = True

    def __init__(self, items: int = 90, *, fails_above: int | None = None, broken: bool = False) -> None:
        generator = torch.Generator().manual_seed(1)
        self.items = items
        self.labels = torch.arange(items) % 3
        angles = torch.rand(items, generator=generator) * 4 + self.labels * 2.1
        radii = angles - self.labels * 2.1
        self.inputs = torch.stack([radii * angles.cos(), radii * angles.sin()], dim=1)
        self.model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
        self.fails_above, self.broken = fails_above, broken
        self.sizes: list[int] = []

    def load(self, indices: Sequence[int], epoch: int) -> loop.Batch:
        chosen = torch.tensor(list(indices))
        return {"inputs": self.inputs[chosen], "labels": self.labels[chosen]}

    def weight(self, batch: loop.Batch) -> float:
        return float(len(batch["labels"]))

    def loss(self, model: nn.Module, batch: loop.Batch) -> torch.Tensor:
        size = len(batch["labels"])
        self.sizes.append(size)
        if self.fails_above is not None and size > self.fails_above:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        sum_of_losses = F.cross_entropy(model(batch["inputs"]), batch["labels"], reduction="sum")
        return sum_of_losses * math.nan if self.broken else sum_of_losses

    def evaluate(self, model: nn.Module, compute: device.Compute, batch_size: int) -> dict[str, float]:
        with torch.inference_mode():
            found = model(self.inputs).argmax(dim=1)
        return {"val_accuracy": float((found == self.labels).float().mean())}


class StoppedAfter(Recorder):
    """Asks to stop once it was asked so often: after each step, and before each pass of an evaluation."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(folder)
        self.left = times

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def trained(recorder: Recorder, work: Spirals | None = None, **fields: object) -> tuple[loop.Progress, Spirals]:
    config = DeepConfig.model_validate(
        {"epochs": 4, "batch_size": 16, "learning_rate": 0.02, "precision": "float32", **fields}
    )
    device.seed_everything(5)
    work = work or Spirals()
    return loop.fit(work, config, device.choose("cpu"), recorder, seed=5, fingerprint="this"), work


def curve(*recorders: Recorder) -> dict[int, float]:
    """The loss at each step, a later recorder's in place of an earlier one's."""
    return {step: values["train_loss"] for each in recorders for step, values in each.points if "train_loss" in values}


def weights(work: Spirals) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in work.model.parameters()])


@pytest.mark.parametrize(("times", "steps"), [(1, 2), (6, 6), (7, 7), (13, 12)])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path, times: int, steps: int) -> None:
    whole = Recorder(tmp_path / "whole")
    _, straight = trained(whole)
    first = StoppedAfter(tmp_path / "parts", times)
    with pytest.raises(Stopped):
        trained(first)
    second = Recorder(tmp_path / "parts")
    _, resumed = trained(second)
    assert max(curve(first)) == steps
    assert f"after step {steps} of" in second.text()
    assert set(curve(first)) <= set(curve(second)), "what a kill may have swallowed is told again"
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-5)
    assert torch.allclose(weights(straight), weights(resumed), atol=1e-6)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_training_goes_on_where_gradients_are_scaled_and_where_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, scaled: bool
) -> None:
    """A GPU without bfloat16 scales them, a CPU does not."""
    whole, first, second = (
        Recorder(tmp_path / "whole"),
        StoppedAfter(tmp_path / "parts", 6),
        Recorder(tmp_path / "parts"),
    )
    trained(whole)
    for recorder, scales in ((first, not scaled), (second, scaled)):
        monkeypatch.setattr(loop, "_scaler", lambda compute, on=scales: torch.amp.GradScaler("cpu", enabled=on))
        with pytest.raises(Stopped) if recorder is first else contextlib.nullcontext():
            trained(recorder)
    assert "resumed in epoch" in second.text()
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-4)


def test_a_checkpoint_of_other_data_is_not_resumed(tmp_path: Path) -> None:
    trained(Recorder(tmp_path))
    other = Recorder(tmp_path)
    config = DeepConfig(epochs=1, batch_size=16)
    progress = loop.fit(Spirals(), config, device.choose("cpu"), other, seed=5, fingerprint="other")
    assert progress.epoch == 1
    assert "begins anew" in other.text("WARN")


def test_a_damaged_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    trained(Recorder(tmp_path))
    next(path for path in tmp_path.iterdir() if path.name.isdigit()).joinpath("state.json").write_text("{")
    again = Recorder(tmp_path)
    trained(again)
    assert "damaged" in again.text("WARN")
    assert min(curve(again)) == 1


def test_a_batch_that_does_not_fit_is_shared_out_and_learns_the_same(tmp_path: Path) -> None:
    plain, short = Recorder(tmp_path / "plain"), Recorder(tmp_path / "short")
    one, two = Spirals(), Spirals(fails_above=5)
    for work in (one, two):
        work.model[2] = nn.Identity()  # what dropout draws depends on the parts
    two.model.load_state_dict(one.model.state_dict())
    trained(plain, one)
    trained(short, two)
    assert "do not fit into memory; going on with 8" in short.text("WARN")
    assert "going on with 4" in short.text("WARN")
    assert max(two.sizes[10:]) <= 5
    assert curve(short) == pytest.approx(curve(plain), abs=1e-4)


def test_one_example_that_does_not_fit_is_a_failure_in_words(recorder: Recorder) -> None:
    with pytest.raises(TrainerError, match="not enough memory for 1 of the points"):
        trained(recorder, Spirals(fails_above=0))


def test_a_batch_size_beyond_the_data_is_halved_from_what_there_is(recorder: Recorder) -> None:
    trained(recorder, Spirals(fails_above=50), epochs=1, batch_size=65_536)
    assert [message for level, message in recorder.lines if level == "WARN"] == [
        "90 points at once do not fit into memory; going on with 45, whose gradients are added up to batches of 65536"
    ]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("posix_memalign failed:Cannot allocate memory (12)"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_what_is_short_of_memory_is_known_by_what_libraries_say(error: Exception) -> None:
    assert device.is_out_of_memory(error)
    assert not device.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not device.is_out_of_memory(ValueError(str(error)))


def test_another_runtime_error_is_not_taken_for_memory(recorder: Recorder) -> None:
    work = Spirals()
    work.model = nn.Linear(7, 3)  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="shape"):
        trained(recorder, work)


def test_a_loss_that_is_no_number_ends_the_training_in_words(recorder: Recorder) -> None:
    with pytest.raises(TrainerError, match="Use a lower learning_rate"):
        trained(recorder, Spirals(broken=True))


def test_accumulated_batches_make_one_step(tmp_path: Path) -> None:
    one, two = Recorder(tmp_path / "one"), Recorder(tmp_path / "two")
    trained(one, Spirals(), epochs=1, batch_size=32)
    trained(two, Spirals(), epochs=1, batch_size=16, gradient_accumulation_steps=2)
    assert len(curve(one)) == len(curve(two)) == math.ceil(90 / 32)


def test_the_best_epoch_is_kept(recorder: Recorder) -> None:
    class Worsening(Spirals):
        epochs = 0

        def evaluate(self, model: nn.Module, compute: device.Compute, batch_size: int) -> dict[str, float]:
            self.epochs += 1
            if self.epochs == 2:
                self.best = weights(self)
            return {"val_accuracy": {1: 0.5, 2: 0.9}.get(self.epochs, 0.1)}

    work = Worsening()
    progress, _ = trained(recorder, work)
    assert (progress.best, progress.best_epoch, len(progress.history)) == (0.9, 2, 4)
    assert progress.best_metrics == {"val_accuracy": 0.9}
    assert torch.equal(weights(work), work.best)


def test_a_score_that_is_no_number_gives_way_to_any_number() -> None:
    progress = loop.Progress()
    found = [
        progress.end_epoch({"loss": value}, watched="loss", higher_is_better=False)
        for value in (math.nan, 5.0, math.nan, 7.0, 4.0)
    ]
    assert found == [True, True, False, False, True]


def test_an_epoch_whose_loss_is_no_number_is_not_the_best_whatever_it_hits() -> None:
    progress = loop.Progress()
    found = [
        progress.end_epoch({"loss": loss, "accuracy": accuracy}, watched="accuracy", higher_is_better=True)
        for loss, accuracy in ((1.0, 0.5), (math.nan, 0.9))
    ]
    assert found == [True, False]
    assert (progress.best_epoch, progress.has_diverged) == (1, False)


def test_held_out_scores_that_are_no_numbers_end_the_training_in_words(recorder: Recorder) -> None:
    class Diverged(Spirals):
        def evaluate(self, model: nn.Module, compute: device.Compute, batch_size: int) -> dict[str, float]:
            return {"val_accuracy": 0.4, "val_loss": math.nan}

    with pytest.raises(TrainerError, match="held-out scores are no numbers.* Use a lower learning_rate"):
        trained(recorder, Diverged(), epochs=1)


def test_it_stops_while_it_evaluates_and_goes_on_with_the_evaluation(tmp_path: Path) -> None:
    class Evaluated(Spirals):
        passes = 0

        def evaluate(self, model: nn.Module, compute: device.Compute, batch_size: int) -> dict[str, float]:
            for _ in range(3):
                self.passes += 1
                found = super().evaluate(model, compute, batch_size)
            return found

    class StoppedInEvaluation(Recorder):
        def should_stop(self) -> bool:
            return one.passes == 5

    whole = Recorder(tmp_path / "whole")
    device.seed_everything(6)
    trained(whole, Evaluated())
    device.seed_everything(6)
    one = Evaluated()
    first = StoppedInEvaluation(tmp_path / "parts")
    with pytest.raises(Stopped):
        trained(first, one)
    assert one.passes == 5, "the second evaluation was broken off in its second of three passes"
    second = Recorder(tmp_path / "parts")
    progress, _ = trained(second, Evaluated())
    assert "resumed in epoch 2 after step 12 of 24" in second.text()
    assert [len(each.steps("val_accuracy")) for each in (first, second)] == [1, 3]
    assert len(progress.history) == 4
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-5)


def test_processes_that_load_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, helped = Recorder(tmp_path / "alone"), Recorder(tmp_path / "helped")
    trained(alone, epochs=2)
    monkeypatch.setattr(loop, "loader_processes", lambda items: 2)
    trained(helped, epochs=2)
    assert curve(helped) == curve(alone)


def test_a_model_that_cannot_be_compiled_runs_as_it_is(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: nn.Module) -> nn.Module:
        raise RuntimeError("Python 3.11+ not yet supported for torch.compile")

    monkeypatch.setattr(torch, "compile", refuse)
    progress, _ = trained(recorder, epochs=1, compile=True)
    assert progress.epoch == 1
    assert "runs as it is: Python 3.11+ not yet supported" in recorder.text("WARN")


def test_processes_that_do_not_see_the_same_checkpoint_do_not_train(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(loop.group.Group):
        def total(self, value: float) -> float:
            return value + 12  # another process is 12 steps ahead

    monkeypatch.setattr(loop.group, "current", Elsewhere)
    with pytest.raises(TrainerError, match="must share the data directory"):
        trained(recorder)
    assert not curve(recorder)


@pytest.mark.full
def test_a_compiled_model_learns_the_same(tmp_path: Path) -> None:
    plain, compiled = Recorder(tmp_path / "plain"), Recorder(tmp_path / "compiled")
    one, two = Spirals(), Spirals()
    for work in (one, two):
        work.model[2] = nn.Identity()  # compiled, a dropout draws other numbers
    two.model.load_state_dict(one.model.state_dict())
    trained(plain, one, epochs=1)
    trained(compiled, two, epochs=1, compile=True)
    assert "compiling the model" in compiled.text()
    assert curve(compiled) == pytest.approx(curve(plain), abs=1e-4)
    assert set(two.model.state_dict()) == set(one.model.state_dict())


def test_it_stops_early_without_a_better_epoch(recorder: Recorder) -> None:
    class Level(Spirals):
        def evaluate(self, model: nn.Module, compute: device.Compute, batch_size: int) -> dict[str, float]:
            return {"val_accuracy": 0.5}

    progress, _ = trained(recorder, Level(), epochs=20, early_stopping=3)
    assert progress.epoch == 4
    assert "stopped early" in recorder.text()


def test_it_learns_and_tells(recorder: Recorder) -> None:
    progress, _ = trained(recorder, epochs=60)
    assert progress.best is not None and progress.best > 0.9
    assert recorder.steps("train_loss") == list(range(1, 60 * 6 + 1))
    assert {"learning_rate", "points_per_second", "memory_mb"} <= {
        name for _, values in recorder.points for name in values
    }
    assert recorder.fractions == sorted(recorder.fractions)


@pytest.mark.parametrize(("items", "size", "least"), [(90, 16, 1), (33, 16, 2), (5, 16, 2), (48, 16, 2)])
def test_chunks_hold_every_example_once_and_none_is_too_small(items: int, size: int, least: int) -> None:
    stretches = chunks(items, 0, size, least)
    assert [place for begin, end in stretches for place in range(begin, end)] == list(range(items))
    assert all(end - begin >= least for begin, end in stretches)


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, steps=100, warmup_ratio=0.1, schedule="cosine") for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01
    assert rate_at(99, steps=100, warmup_ratio=0, schedule="constant") == 1.0
    assert rate_at(50, steps=100, warmup_ratio=0, schedule="linear") == pytest.approx(0.5)
