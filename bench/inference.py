"""How long an inference takes, from its order until its answer is there: with a cold model, and with a warm one.

    python -m bench.inference [--rounds 100] [--models 3] [--quick] [--write]

A small ResNet, a random forest and a GPT are trained through jobs, several of each. `first` is the first inference of
the kind in its process, which imports the framework; `cold` the first one of each further model, which is loaded;
`warm` all that follow, the models in turn. An order is a POST; its status is asked for every 5 ms. Beside it stands
what the same prediction takes in a process of its own, with the model loaded: the rest is the queue's.

`--write` puts the table into docs/benchmarks.md between its markers; `--quick` tries the script.
"""

import argparse
import base64
import contextlib
import datetime
import json
import os
import platform as machine
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.job_overhead import percentile, put_between
from bench.platform import ROOT, Platform, platform

MARKERS = ("<!-- inference: begin -->", "<!-- inference: end -->")
GOAL = 0.150  # seconds, p50 of a warm model
POLL = 0.02
TRAINING_SECONDS = 600.0
PREDICT = """
import json, sys, time
from pathlib import Path
from trainers import registry
model = registry.load(Path(sys.argv[1]))
given, parameters, count = json.loads(sys.stdin.read())
times = []
for _ in range(count + 1):
    started = time.perf_counter()
    model.predict_input(given, parameters)
    times.append(time.perf_counter() - started)
print(json.dumps(times[1:]))
"""


@dataclass(frozen=True)
class Kind:
    name: str
    model_type: str
    data: str
    hyperparameters: dict[str, Any]
    given: Any
    parameters: dict[str, Any]


def kinds(files: Path) -> list[Kind]:
    """What is measured; writes what it is trained on into the data root."""
    return [
        Kind("random forest, 100 trees", "random_forest", _table(files), {}, "5.5,2,1", {"probability": True}),
        Kind(
            "ResNet-18, 32 x 32 pixels",
            "resnet",
            _images(files),
            {"depth": 18, "epochs": 1, "batch_size": 16},
            f"data:image/png;base64,{base64.b64encode(_png(3)).decode()}",
            {"top_k": 2},
        ),
        Kind(
            "GPT, 4 layers of 128, 20 tokens",
            "gpt",
            _text(files),
            {"epochs": 1, "num_layers": 4, "hidden_size": 128, "max_length": 64, "vocab_size": 512},
            "The river",
            {"max_length": 20, "top_k": 1},
        ),
    ]


def _table(files: Path) -> str:
    rows = [f"{i % 7}.5,{i % 5},{i % 3},{'tall' if i % 7 > 3 else 'short'}" for i in range(300)]
    (files / "plants.csv").write_text("height,leaves,buds,kind\n" + "\n".join(rows) + "\n")
    return "plants.csv"


def _png(seed: int) -> bytes:
    import io

    import numpy as np
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    pixels[..., seed % 2] //= 4  # red or green tells the class
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _images(files: Path) -> str:
    for number in range(80):
        folder = files / "colours" / ("red", "green")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(_png(number))
    return "colours"


def _text(files: Path) -> str:
    words = ["the", "river", "stone", "walks", "sees", "near", "far", "a", "small", "house", "and"]
    draw = random.Random(1)
    (files / "story.txt").write_text(" ".join(draw.choices(words, k=8_000)))
    return "story.txt"


def train(api: Platform, kind: Kind) -> str:
    """The id of a model of this kind, trained through a job."""
    order = {"model_type": kind.model_type, "data_path": kind.data, "hyperparameters": kind.hyperparameters}
    job_id = api.call("POST", "/jobs/training", order)["job_id"]
    deadline = time.monotonic() + TRAINING_SECONDS
    while (status := api.call("GET", f"/jobs/{job_id}/status"))["status"] in ("pending", "running"):
        if time.monotonic() > deadline:
            raise SystemExit(f"{kind.name} is not trained after {TRAINING_SECONDS:g} s: {status}")
        time.sleep(0.2)
    if status["status"] != "completed":
        raise SystemExit(f"{kind.name} was not trained: {status}")
    return str(status["result"]["model_id"])


def infer(api: Platform, kind: Kind, model_id: str) -> float:
    """Seconds from the order until its answer was there."""
    order = {"model_id": model_id, "input_data": kind.given, "parameters": kind.parameters}
    started = time.perf_counter()
    job_id = api.call("POST", "/jobs/inference", order)["job_id"]
    while (status := api.call("GET", f"/jobs/{job_id}/status"))["status"] in ("pending", "running"):
        time.sleep(POLL)
    if status["status"] != "completed":
        raise SystemExit(f"the inference ended as {status}")
    return time.perf_counter() - started


def bare(api: Platform, kind: Kind, model_id: str, count: int) -> list[float]:
    """Seconds of the same prediction, without jobs, in a process of its own."""
    command = [sys.executable, "-c", PREDICT, str(api.data / "files" / "models" / model_id)]
    asked = json.dumps([kind.given, kind.parameters, count])
    done = subprocess.run(command, cwd=ROOT, input=asked, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rounds, models = (5, 2) if options.quick else (options.rounds, options.models)
    rows = []
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(platform())
        files = api.data / "files"
        files.mkdir(exist_ok=True)
        for kind in kinds(files):
            print(f"{kind.name}: training {models} models", file=sys.stderr)
            trained = [train(api, kind) for _ in range(models)]
            first, *cold = [infer(api, kind, model_id) for model_id in trained]
            warm = [infer(api, kind, trained[number % models]) for number in range(rounds)]
            rows.append((kind.name, first, cold, warm, bare(api, kind, trained[0], rounds)))
    text = report(rows)
    print(text)
    if options.write:
        put_between(ROOT / "docs" / "benchmarks.md", MARKERS, text)


def report(rows: Sequence[tuple[str, float, list[float], list[float], list[float]]]) -> str:
    lines = [
        f"Measured {datetime.date.today()} on {os.cpu_count()} cores, Python {machine.python_version()}.",
        "",
        "| model | first of its process | cold (median) | warm p50 | p95 | n | goal: p50 | the prediction alone, p50 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, first, cold, warm, alone in rows:
        p50 = percentile(warm, 0.5)
        met = "met" if p50 <= GOAL else "missed"
        times = [first, statistics.median(cold), p50, percentile(warm, 0.95)]
        shown = " | ".join(f"{value * 1000:.0f} ms" for value in times)
        lines.append(
            f"| {name} | {shown} | {len(warm)} | {GOAL * 1000:.0f} ms: {met} | {percentile(alone, 0.5) * 1000:.1f} ms |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
