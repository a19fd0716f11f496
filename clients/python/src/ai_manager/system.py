"""What the machine does while a run trains: series `system/…`, one sample every ten seconds.

    system/cpu_percent             of all processors together, 0 to 100
    system/memory_percent          of the machine's memory, 0 to 100
    system/process_memory_mb       resident memory of this process, in MiB
    system/disk_percent            of the working folder's file system, 0 to 100
    system/gpu.<n>.utilization     0 to 100
    system/gpu.<n>.memory_mb       used, in MiB
    system/gpu.<n>.memory_percent  0 to 100
    system/gpu.<n>.power_w         in watts
    system/gpu.<n>.temperature_c   in degrees Celsius

psutil is asked where it is installed, else /proc; GPUs through pynvml where it is installed, else `nvidia-smi`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ai_manager.calls import SYSTEM_PREFIX
from ai_manager.notices import logger


def _optional(name: str) -> Any:
    """A module that may not be installed, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


psutil = _optional("psutil")

SMI_SECONDS = 5.0
_MIB = 1 << 20
_SMI_FIELDS = ("utilization", "memory_mb", "memory_total_mb", "power_w", "temperature_c")
_SMI_QUERY = "utilization.gpu,memory.used,memory.total,power.draw,temperature.gpu"

Sample = dict[str, float]


class Sampled(Protocol):
    """A run, as far as the monitor is concerned."""

    status: str

    def log_system(self, sample: Sample) -> None: ...


class Monitor:
    """One thread that samples the machine for all runs of a process; it ends with the last of them."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """In a forked child: the parent watches."""
        self._lock = threading.Lock()
        self._runs: list[Sampled] = []
        self._seconds = 0.0
        self._stop = threading.Event()
        self._running = False

    def watch(self, run: Sampled, *, seconds: float) -> None:
        """Sample for this run too. `seconds`: the interval; the shortest of all runs' holds."""
        with self._lock:
            self._runs.append(run)
            self._seconds = min(seconds, self._seconds) if self._running else seconds
            if not self._running:
                with contextlib.suppress(RuntimeError):  # the interpreter is ending
                    threading.Thread(target=self._loop, name="ai_manager-system", daemon=True).start()
                    self._running = True

    def _loop(self) -> None:
        machine = Machine()
        while True:
            self._stop.wait(self._seconds)
            with self._lock:
                self._runs = runs = [run for run in self._runs if run.status == "running"]
                if not runs:
                    self._running = False
                    return
            sample = machine.sample()
            for run in runs:
                run.log_system(sample)


class Machine:
    """What can be measured here; asks each source in turn, and a source that fails never again."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Sample]] = [self._disk, self._psutil if psutil is not None else self._proc]
        gpus = _pynvml_source() or (_smi if shutil.which("nvidia-smi") else None)
        if gpus is not None:
            self._sources.append(gpus)
        self._cpu_times: tuple[float, float] | None = None
        self._process: Any = None
        self.sample()  # a share of the processor's time is one since the call before

    def sample(self) -> Sample:
        found: Sample = {}
        for source in list(self._sources):
            try:
                found.update(source())
            except Exception:  # noqa: BLE001 - a driver's own; the training goes on without these
                logger.debug("system metrics: %s is left out from now on", source, exc_info=True)
                self._sources.remove(source)
        return {SYSTEM_PREFIX + name: value for name, value in found.items()}

    def _psutil(self) -> Sample:
        if self._process is None:
            self._process = psutil.Process()
        return {
            "cpu_percent": psutil.cpu_percent(interval=None),
            "memory_percent": psutil.virtual_memory().percent,
            "process_memory_mb": self._process.memory_info().rss / _MIB,
        }

    def _proc(self) -> Sample:
        with open("/proc/stat") as file:
            fields = [float(field) for field in file.readline().split()[1:9]]
        with open("/proc/meminfo") as file:
            memory = {line.split(":")[0]: float(line.split()[1]) for line in file}
        with open("/proc/self/statm") as file:
            resident = int(file.readline().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        now = (sum(fields), fields[3] + fields[4])  # all, and idle
        before, self._cpu_times = self._cpu_times or (0.0, 0.0), now
        total, idle = now[0] - before[0], now[1] - before[1]
        return {
            "cpu_percent": 100 * (1 - idle / total) if total > 0 else 0.0,
            "memory_percent": 100 * (1 - memory["MemAvailable"] / memory["MemTotal"]),
            "process_memory_mb": resident / _MIB,
        }

    def _disk(self) -> Sample:
        usage = shutil.disk_usage(".")
        return {"disk_percent": 100 * usage.used / usage.total}


def _pynvml_source() -> Callable[[], Sample] | None:
    """Through NVIDIA's library; None where it or its Python package is not there."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - its own errors, whatever the driver says
        return None

    def sample() -> Sample:
        found: Sample = {}
        for index, handle in enumerate(handles):
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            found[f"gpu.{index}.utilization"] = float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            found[f"gpu.{index}.memory_mb"] = memory.used / _MIB
            found[f"gpu.{index}.memory_percent"] = 100 * memory.used / memory.total
            with contextlib.suppress(pynvml.NVMLError):  # not every card tells
                found[f"gpu.{index}.power_w"] = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
            with contextlib.suppress(pynvml.NVMLError):
                sensor = pynvml.NVML_TEMPERATURE_GPU
                found[f"gpu.{index}.temperature_c"] = float(pynvml.nvmlDeviceGetTemperature(handle, sensor))
        return found

    return sample


def _smi() -> Sample:
    done = subprocess.run(  # noqa: S603 - nvidia-smi, with our own arguments
        ["nvidia-smi", f"--query-gpu={_SMI_QUERY}", "--format=csv,noheader,nounits"],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=SMI_SECONDS,
        check=True,
    )
    return parse_smi(done.stdout)


def parse_smi(output: str) -> Sample:
    """The lines of nvidia-smi, one a card; what a card does not tell ([N/A]) is left out."""
    found: Sample = {}
    for index, line in enumerate(output.strip().splitlines()):
        card = {}
        for name, field in zip(_SMI_FIELDS, line.split(",")):
            with contextlib.suppress(ValueError):
                card[name] = float(field)
        total = card.pop("memory_total_mb", 0.0)
        if total and "memory_mb" in card:
            card["memory_percent"] = 100 * card["memory_mb"] / total
        found.update({f"gpu.{index}.{name}": value for name, value in card.items()})
    return found


monitor = Monitor()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=monitor.forked)
