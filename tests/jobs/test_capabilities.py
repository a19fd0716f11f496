"""What a machine says of itself: found without touching its devices, and not brought down by a broken framework."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from jobs import capabilities, worker
from jobs.capabilities import probe
from trainers import registry


@pytest.fixture
def installed(monkeypatch):
    """installed(pytorch="torch") -> these frameworks only, each with a package that is really there."""

    def set_to(**packages):
        wanted = {name: ((module, module),) for name, module in packages.items()}
        monkeypatch.setattr(capabilities, "PACKAGES", wanted)

    return set_to


def test_this_machine_is_described():
    found = probe()
    assert found["frameworks"]["sklearn"] == metadata.version("scikit-learn")
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert 2**28 < found["memory_bytes"] < 2**45
    assert json.loads(json.dumps(found)) == found


def test_a_framework_is_there_when_all_its_packages_are(monkeypatch):
    packages = {"half": (("polars", "polars"), ("no_such_module", "no-such")), "whole": (("polars", "polars"),)}
    monkeypatch.setattr(capabilities, "PACKAGES", packages)
    assert probe()["frameworks"] == {"whole": metadata.version("polars")}


@pytest.mark.parametrize("missing", ["transformers", "tokenizers", "safetensors", "PIL"])
def test_a_machine_without_what_some_network_needs_serves_none(monkeypatch, missing):
    monkeypatch.setattr(capabilities, "_is_there", lambda module: module != missing)
    monkeypatch.setattr(capabilities, "_devices", list)
    assert "pytorch" not in probe()["frameworks"]


@pytest.fixture
def driver(monkeypatch):
    """There is a driver for GPUs, and none of its GPUs is hidden."""
    monkeypatch.setattr(capabilities, "DRIVER_FILES", (__file__,))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_keras_is_there_with_a_library_that_it_computes_with(installed, monkeypatch):
    installed(tensorflow="polars")
    monkeypatch.setattr(capabilities, "BACKENDS", {"tensorflow": ("no_such_module", "pyarrow")})
    assert list(probe()["frameworks"]) == ["tensorflow"]
    monkeypatch.setattr(capabilities, "BACKENDS", {"tensorflow": ("no_such_module",)})
    assert probe()["frameworks"] == {}


@pytest.mark.parametrize("hidden", [True, False])
def test_pytorch_is_not_imported_to_find_no_devices(installed, driver, monkeypatch, hidden):
    installed(pytorch="polars")
    if hidden:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    else:
        monkeypatch.setattr(capabilities, "DRIVER_FILES", ("/dev/no such driver",))
    monkeypatch.setattr(capabilities.subprocess, "run", lambda *_, **__: pytest.fail("it was asked"))
    assert probe()["devices"] == []


def test_devices_are_asked_for_in_another_process(installed, driver, monkeypatch):
    installed(pytorch="polars")
    asked = []

    def run(command, **options):
        asked.append((command, options["env"]["CUDA_DEVICE_ORDER"]))
        return subprocess.CompletedProcess(command, 0, 'a warning\n[{"name": "H", "memory_bytes": 8}]\n', "")

    monkeypatch.setattr(capabilities.subprocess, "run", run)
    assert probe()["devices"] == [{"name": "H", "memory_bytes": 8}]
    assert asked == [([sys.executable, "-m", "jobs.capabilities"], "PCI_BUS_ID")]


def broken(command, **options):
    raise subprocess.CalledProcessError(1, command, "", "ImportError: libcudart.so: no such file")


def hanging(command, **options):
    raise subprocess.TimeoutExpired(command, options["timeout"])


def mumbling(command, **options):
    return subprocess.CompletedProcess(command, 0, "", "")


@pytest.mark.parametrize("run", [broken, hanging, mumbling])
def test_a_broken_installation_of_torch_leaves_the_other_queues_to_the_worker(
    installed, driver, monkeypatch, run, caplog
):
    installed(pytorch="polars", sklearn="skops")
    monkeypatch.setattr(capabilities.subprocess, "run", run)
    found = probe()
    assert found["devices"] == []
    assert capabilities.servable_queues(found, inference=False)[-1] == "sklearn"
    assert "devices could not be found out" in caplog.text


def test_a_frameworks_trainers_that_cannot_be_imported_are_told(monkeypatch, caplog):
    broken_one = registry.TrainerInfo(
        name="x", framework="pytorch", title="", description="", config=registry.NoopConfig, module="trainers.no_such"
    )
    monkeypatch.setattr(registry, "TRAINERS", {**registry.TRAINERS, "x": broken_one})
    assert worker.import_trainers({"sklearn", "pytorch"}) == {"pytorch"}
    assert "trainers.no_such cannot be imported" in caplog.text
    assert worker.import_trainers({"sklearn"}) == set()


def test_a_container_may_use_less_memory_than_the_machine_has(monkeypatch, tmp_path):
    read_text = Path.read_text

    def limited(path, *arguments, **options):
        return "1048576\n" if path.name == "memory.max" else read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", limited)
    assert probe()["memory_bytes"] == 1048576
