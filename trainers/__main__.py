"""The shell's door: `python -m trainers random_forest --data wine.csv --set n_estimators=200`."""

import argparse
import json
import os
import sys
import tempfile
import threading
from pathlib import Path

from trainers import registry
from trainers.protocol import Stopped, TrainerError

BAR = 30
BROKEN_PIPE = 141  # as a shell tells of a process that SIGPIPE ended


class ConsoleReporter:
    """Prints what the trainer tells; a bar where the output is a terminal."""

    def __init__(self, checkpoint: Path) -> None:
        self.folder = checkpoint
        self.lock = threading.Lock()
        self.terminal = sys.stdout.isatty()
        self.series: dict[str, float] = {}

    def log(self, level: str, message: str) -> None:
        self._line(f"{level:5} {message}")

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        if step is not None:
            self._line(f"      step {step}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))

    def progress(self, fraction: float, message: str = "") -> None:
        if self.terminal:
            done = round(fraction * BAR)
            with self.lock:
                print(f"\r\033[K[{'#' * done}{'.' * (BAR - done)}] {fraction:4.0%} {message}", end="", flush=True)

    def checkpoint(self) -> Path:
        return self.folder

    def should_stop(self) -> bool:
        return False

    def _line(self, text: str) -> None:
        with self.lock:
            print(f"\r\033[K{text}" if self.terminal else text, flush=True)


def main(arguments: list[str]) -> int:
    """The exit status: 0, 1 for a failure that is told, 2 for wrong arguments, 141 where nobody reads on (`| head`)."""
    try:
        status = _predict(arguments[1:]) if arguments[:1] == ["predict"] else _train(arguments)
        sys.stdout.flush()
        return status
    except TrainerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        for name, sentences in list(error.details.items())[1:] if _is_fields(error.details) else []:
            print(f"error: {name} {' '.join(sentences)}", file=sys.stderr)
    except Stopped:
        print("stopped", file=sys.stderr)
    except BrokenPipeError:
        # Python flushes what is left once more as it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return 1


def _train(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainers", description="Train a model.")
    parser.add_argument("model_type", help=f"{', '.join(registry.TRAINERS)}; or: predict MODEL_DIR --data FILE")
    parser.add_argument("--data", required=True, type=Path, help="a file, or a folder of files")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a hyperparameter")
    parser.add_argument("--target", help="the column to predict (the last one if left out)")
    parser.add_argument("--out", type=Path, help="folder for the model (./model-<model type> if left out)")
    parser.add_argument("--checkpoint", type=Path, help="folder to keep checkpoints in, and to resume from")
    asked = parser.parse_args(arguments)
    fields = dict(item.partition("=")[::2] for item in asked.set)
    if asked.target is not None:
        fields["target"] = asked.target
    config = registry.config_from_text(asked.model_type, fields)
    out = asked.out or Path(f"model-{asked.model_type}")
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as temporary:
        checkpoint = asked.checkpoint or Path(temporary)
        checkpoint.mkdir(parents=True, exist_ok=True)
        reporter = ConsoleReporter(checkpoint)
        result = registry.train(asked.model_type, config, asked.data, out, reporter)
    print()
    for name, value in result.metrics.items():
        print(f"{name:18} {value:.4f}")
    print(f"{'model':18} {out}")
    return 0


def _predict(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainers predict", description="Predict with a trained model.")
    parser.add_argument("model", type=Path, help="the model's folder")
    parser.add_argument("--data", required=True, type=Path, help="CSV or Parquet file of rows")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="probability=true, top_k=3, …")
    asked = parser.parse_args(arguments)
    parameters = {name: json.loads(value) for name, _, value in (item.partition("=") for item in asked.set)}
    predictor = registry.load(asked.model)
    for prediction in predictor.predict_input(asked.data, parameters):
        print(json.dumps(prediction, ensure_ascii=False))
    return 0


def _is_fields(details: dict[str, object]) -> bool:
    return bool(details) and all(isinstance(sentences, list) for sentences in details.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
