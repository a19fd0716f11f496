"""Which worker processes a machine gets, and which queues each of them serves."""

import os

import pytest
from django.core.management.base import CommandError

from jobs.layout import Lane, lanes
from jobs.management.commands.worker import EXIT_NOTHING_TO_SERVE, SPINS, _queues, _share_cores

ALL = {"sklearn": "1.9.1", "pytorch": "2.13.0", "tensorflow": "3.15.1"}
CPU_NETWORKS = ("pytorch-2.1", "pytorch-2.0")
ON_GPU = ("pytorch-2.1-gpu", "pytorch-2.0-gpu", "tensorflow")
INFERENCE = [
    Lane("infer", "inference", ("sklearn-inference",)),
    Lane("infer-deep", "inference", ("pytorch-inference", "tensorflow-inference")),
]


def machine(*, frameworks=ALL, gpus=0):
    return {"frameworks": frameworks, "devices": [{"name": "H"}] * gpus}


@pytest.fixture(autouse=True)
def _all_gpus_visible(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_tables_do_not_wait_behind_networks_nor_inference_behind_training():
    assert lanes(machine()) == [
        Lane("train-1", "training", ("sklearn",)),
        Lane("deep-1", "training", (*CPU_NETWORKS, "tensorflow")),
        *INFERENCE,
    ]


def test_a_machine_with_one_framework_starts_no_process_for_another():
    assert lanes(machine(frameworks={"sklearn": "1.9.1"}), workers=2) == [
        Lane("train-1", "training", ("sklearn",)),
        Lane("train-2", "training", ("sklearn",)),
        INFERENCE[0],
    ]
    assert lanes(machine(frameworks={"pytorch": "2.0.1"}), deep_workers=2) == [
        Lane("deep-1", "training", ("pytorch-2.0",)),
        Lane("deep-2", "training", ("pytorch-2.0",)),
        Lane("infer-deep", "inference", ("pytorch-inference",)),
    ]
    assert lanes(machine(frameworks={})) == []


def test_each_gpu_has_a_worker_of_its_own_and_what_it_speeds_up():
    assert lanes(machine(gpus=2)) == [
        Lane("train-1", "training", ("sklearn",)),
        Lane("deep-1", "training", CPU_NETWORKS),
        Lane("gpu-1", "training", ON_GPU, ("0",)),
        Lane("gpu-2", "training", ON_GPU, ("1",)),
        *INFERENCE,
    ]


def test_workers_may_own_several_gpus_for_jobs_that_ask_for_several():
    found = [lane.gpus for lane in lanes(machine(gpus=5), gpus_per_worker=2) if lane.gpus]
    assert found == [("0", "1"), ("2", "3"), ("4",)]


def test_gpus_that_are_hidden_from_the_platform_stay_hidden(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8e2f")
    assert [lane.gpus for lane in lanes(machine(gpus=2)) if lane.gpus] == [("3",), ("GPU-8e2f",)]


def test_only_the_queues_asked_for_are_served():
    assert lanes(machine(gpus=1), only=["sklearn-inference", "pytorch-2.0-gpu"]) == [
        Lane("gpu-1", "training", ("pytorch-2.0-gpu",), ("0",)),
        INFERENCE[0],
    ]
    assert lanes(machine(), only=["pytorch-2.0-gpu"]) == []


def test_a_lane_is_the_arguments_of_its_command():
    assert Lane("gpu-1", "training", ON_GPU, ("0", "2")).arguments() == [
        "--kind", "training", "--queues", "pytorch-2.1-gpu,pytorch-2.0-gpu,tensorflow", "--gpus", "0,2",
    ]  # fmt: skip
    assert Lane("infer", "inference", ("sklearn-inference",)).arguments()[-1] == "sklearn-inference"


# --- The command ------------------------------------------------------------------------------------------------------


def test_a_worker_that_owns_gpus_leaves_to_others_what_needs_none():
    assert tuple(_queues(machine(gpus=1), kind="training", wanted=[], owns_gpus=True)) == ON_GPU
    assert tuple(_queues(machine(), kind="training", wanted=[], owns_gpus=False)) == (
        *CPU_NETWORKS, "tensorflow", "sklearn",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "wanted", "owns_gpus", "words"),
    [
        (machine(), ["pytorch-2.1-gpu"], True, "GPUs of its own: 0"),
        (machine(gpus=1), ["sklearn"], True, "GPUs of its own: 1"),
        (machine(frameworks={"sklearn": "1.9.1"}), ["tensorflow"], False, "frameworks found here: sklearn"),
        (machine(frameworks={}), [], False, "frameworks found here: none"),
    ],
)
def test_a_worker_with_nothing_to_serve_says_what_is_missing_and_is_not_started_again(found, wanted, owns_gpus, words):
    with pytest.raises(CommandError, match=words) as refused:
        _queues(found, kind="training", wanted=wanted, owns_gpus=owns_gpus)
    assert refused.value.returncode == EXIT_NOTHING_TO_SERVE


@pytest.mark.parametrize(
    ("given", "spins"), [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_a_workers_threads_wait_for_each_other_asleep_unless_the_operator_says_otherwise(monkeypatch, given, spins):
    monkeypatch.setattr(os, "environ", dict(given))
    _share_cores()
    assert os.environ.get("GOMP_SPINCOUNT") == spins
