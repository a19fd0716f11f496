"""How fast our trainers learn, beside the plain loop that a user would write for the same model.

    python -m bench.training [--rounds 5] [--only resnet,random_forest] [--quick] [--write]

Each side trains in a process of its own (`bench.training_sides`), on the same data, for the same epochs, with the same
network, batch size and optimizer; both read the data, score the held-out part after each epoch, and save the model.
Counted are the examples learnt from by the seconds from the call until the model is saved; imports are not. The sides
take turns, the first one changes with each round; the ratio is the median of the rounds' ratios.

`--write` puts the table into docs/benchmarks.md between its markers; `--quick` tries the script on very little.
"""

import argparse
import datetime
import json
import os
import platform as machine
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.job_overhead import put_between
from bench.platform import ROOT

MARKERS = ("<!-- training: begin -->", "<!-- training: end -->")
GOAL = 0.98
CASES = {
    "resnet": ("ResNet-18 on 64 x 64 images", "a torch loop over tensors decoded once"),
    "gpt": ("a GPT on plain text", "a torch loop over the same network"),
    "bert": ("a BERT on labelled texts", "transformers' Trainer"),
    "random_forest": ("a random forest on a table", "scikit-learn's fit"),
}
ACCELERATE = "accelerate==1.12.0"  # what transformers' Trainer asks for, and nothing of ours needs


def accelerate_folder() -> Path:
    """Where the benchmark's own package lies; installed when first needed."""
    folder = ROOT / ".bench" / "accelerate"
    if not (folder / "installed").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), ACCELERATE]
        subprocess.run(command, check=True)
        (folder / "installed").touch()
    return folder


def rate(case: str, side: str, folder: Path, *, quick: bool) -> float:
    """Examples a second of one training in a process of its own."""
    paths = [str(ROOT), *([str(accelerate_folder())] if (case, side) == ("bert", "plain") else [])]
    command = [sys.executable, "-m", "bench.training_sides", case, side, str(folder), *(["--quick"] if quick else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["examples"] / found["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(CASES), help="cases, with commas between them")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    rates: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-training-") as folder:
        for number in range(rounds):
            for case in options.only.split(","):
                print(f"round {number + 1} of {rounds}: {case}", file=sys.stderr)
                sides = ("ours", "plain") if number % 2 == 0 else ("plain", "ours")
                found = {side: rate(case, side, Path(folder), quick=options.quick) for side in sides}
                rates.setdefault(case, []).append((found["ours"], found["plain"]))
    text = report(rates)
    print(text)
    if options.write:
        put_between(ROOT / "docs" / "benchmarks.md", MARKERS, text)


def report(rates: dict[str, list[tuple[float, float]]]) -> str:
    count = len(next(iter(rates.values())))
    lines = [
        f"Measured {datetime.date.today()} on {os.cpu_count()} cores, Python {machine.python_version()}.",
        "",
        f"| training | plain loop | ours, examples/s | plain, examples/s | ratio (median of {count}) |",
        "|---|---|---|---|---|",
    ]
    for case, pairs in rates.items():
        what, plain = CASES[case]
        ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(mine / other for mine, other in pairs)
        lines.append(f"| {what} | {plain} | {ours:,.1f} | {theirs:,.1f} | {ratio:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
