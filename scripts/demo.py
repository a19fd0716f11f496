"""The demo: start the platform, train a random forest on real data through HTTP, and use the model.

Everything goes the way a user's script would: sign in, upload, submit, follow, predict. `--once` stops after that.
"""

import argparse
import csv
import ctypes
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HELD_OUT = 20
SEED = 7
PR_SET_PDEATHSIG = 1


class DemoFailed(Exception):
    """A step did not do what it should; the text says which."""


class Api:
    """The HTTP calls of the demo, with the standard library only."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.token = ""

    def call(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> Any:
        request = urllib.request.Request(self.address + path, data=body, method=method)
        request.add_header("Accept", "application/json")
        if body is not None:
            request.add_header("Content-Type", content_type)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise DemoFailed(
                f"{method} {path} answered {error.code}: {error.read().decode(errors='replace')}"
            ) from error

    def post(self, path: str, values: dict[str, Any]) -> Any:
        return self.call("POST", path, json.dumps(values).encode())

    def login(self, username: str, password: str) -> None:
        form = urllib.parse.urlencode({"username": username, "password": password}).encode()
        self.token = self.call("POST", "/auth/login", form, "application/x-www-form-urlencoded")["access_token"]

    def upload(self, filename: str, content: bytes) -> Any:
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        return self.call("POST", "/api/v1/datasets/upload", body, f"multipart/form-data; boundary={boundary}")


def breast_cancer() -> tuple[bytes, list[dict[str, Any]], list[str]]:
    """The Wisconsin breast cancer data as a CSV without its held-out rows, these rows, and their true labels."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    rows = [
        {**dict(zip(names, map(float, values), strict=True)), "diagnosis": str(data.target_names[label])}
        for values, label in zip(data.data, data.target, strict=True)
    ]
    random.Random(SEED).shuffle(rows)  # noqa: S311 (a shuffle, not a secret)
    held_out, training = rows[:HELD_OUT], rows[HELD_OUT:]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, "diagnosis"])
    writer.writeheader()
    writer.writerows(training)
    return (
        text.getvalue().encode(),
        [{n: row[n] for n in names} for row in held_out],
        [r["diagnosis"] for r in held_out],
    )


def follow(api: Api, job_id: str, *, timeout: float) -> dict[str, Any]:
    """Wait for a job's end, with a progress bar; the last status answer."""
    deadline = time.monotonic() + timeout
    drawn = ""
    while True:
        status = api.call("GET", f"/jobs/{job_id}/status")
        drawn = draw_bar(status["progress"], status["status"], drawn)
        if status["status"] in ("completed", "failed", "cancelled"):
            print()
            if status["status"] != "completed":
                raise DemoFailed(f"the job ended as {status['status']}: {status.get('error')}")
            return status
        if time.monotonic() > deadline:
            print()
            raise DemoFailed(f"the job did not end within {timeout:g} s; it says: {status.get('message', '')}")
        time.sleep(0.2)


def draw_bar(fraction: float, state: str, drawn: str) -> str:
    """Draw the bar over the one that was `drawn`; in a file, as its own line if it moved. Returns what is drawn."""
    filled = round(30 * fraction)
    bar = f"  [{'#' * filled}{'.' * (30 - filled)}] {fraction:4.0%}  {state:<9}"
    if sys.stdout.isatty():
        print(f"\r{bar}", end="", flush=True)
    elif bar != drawn:
        print(bar, flush=True)
    return bar


def train_and_predict(api: Api) -> str:
    """The whole way of one model; returns its job's id."""
    content, held_out, truth = breast_cancer()
    dataset = api.upload("breast_cancer.csv", content)
    analysis = dataset["analysis"]
    shape = f"{analysis['rows']} rows, {len(analysis['columns'])} columns"
    print(f"Uploaded {dataset['filename']}: {shape} -> {dataset['dataset_id']}")

    job = api.post(
        "/jobs/training",
        {
            "model_type": "random_forest",
            "data_path": dataset["dataset_id"],
            "hyperparameters": {"n_estimators": 300, "target": "diagnosis", "random_state": 42},
            "description": "Demo: breast cancer diagnosis",
        },
    )
    print(f"Submitted {job['job_id']} ({job['status']}, estimated {job['estimated_duration']})")
    result = follow(api, job["job_id"], timeout=180)["result"]
    print(f"Trained {result['model_id']} with {result['framework']}:")
    for name, value in sorted(result["metrics"].items()):
        print(f"  {name:<20} {value:.0f}" if float(value).is_integer() else f"  {name:<20} {value:.4f}")
    if not result["metrics"]["accuracy"] > 0.9:
        raise DemoFailed(f"accuracy {result['metrics']['accuracy']} on the held-out split, expected more than 0.9")

    inference = api.post(
        "/jobs/inference",
        {"model_id": result["model_id"], "input_data": held_out, "parameters": {"probability": True}},
    )
    print(f"\nPredicting {HELD_OUT} rows that the training never saw ({inference['job_id']})")
    predictions = follow(api, inference["job_id"], timeout=60)["result"]["predictions"]
    show_predictions(predictions, truth)
    return str(job["job_id"])


def show_predictions(predictions: Sequence[dict[str, Any]], truth: Sequence[str]) -> None:
    if len(predictions) != len(truth):
        raise DemoFailed(f"{len(predictions)} predictions for {len(truth)} rows")
    print(f"  {'row':>3}  {'predicted':<10} {'score':>6}  {'truth':<10}")
    for number, (prediction, true) in enumerate(zip(predictions, truth, strict=True), 1):
        mark = "" if prediction["label"] == true else "  <- wrong"
        print(f"  {number:>3}  {prediction['label']:<10} {prediction['score']:>6.3f}  {true:<10}{mark}")
    right = sum(prediction["label"] == true for prediction, true in zip(predictions, truth, strict=True))
    print(f"  {right} of {len(truth)} right")
    if right < 0.8 * len(truth):
        raise DemoFailed("fewer than 80 % of the held-out rows were predicted right")


def free_port(wanted: int) -> int:
    """`wanted` if nothing listens there, else one that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DemoFailed("no free port on 127.0.0.1")


def wait_ready(api: Api, platform: subprocess.Popen[bytes], log: Path, *, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if platform.poll() is not None:
            raise DemoFailed(f"the platform did not start; its last words:\n{tail(log)}")
        try:
            if api.call("GET", "/health")["status"] == "healthy":
                return
        except (OSError, DemoFailed):
            pass
        time.sleep(0.1)
    raise DemoFailed(f"the platform was not ready within {timeout:g} s; its last words:\n{tail(log)}")


def end_with_parent() -> None:
    """Between fork and exec: have the kernel stop the platform in order, however this script ends (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="stop after the result")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("AUTOML_DATA", ROOT / "data")))
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    data = options.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "AUTOML_DATA": str(data)}
    port = free_port(options.port)
    api = Api(f"http://127.0.0.1:{port}")
    log = data / "demo.log"

    manage = [sys.executable, str(ROOT / "manage.py")]
    started = time.monotonic()
    with log.open("wb") as sink:
        # A session of its own: Ctrl-C reaches this script only, which then stops the platform in order.
        platform = subprocess.Popen(
            [*manage, "up", "--data", str(data), "--bind", f"127.0.0.1:{port}"],
            env=environment,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda signum, _: sys.exit(128 + signum))
    try:
        print(f"Starting the platform in {data} …", flush=True)
        wait_ready(api, platform, log)
        answer = subprocess.run([*manage, "operator", "--json"], env=environment, capture_output=True, text=True)
        if answer.returncode:
            raise DemoFailed(f"the operator could not be made:\n{answer.stderr}")
        operator = json.loads(answer.stdout)
        print(f"Ready at {api.address} after {time.monotonic() - started:.1f} s")
        api.login(operator["username"], operator["password"])
        job_id = train_and_predict(api)
        page = f"{api.address}/ui/jobs/{job_id.removeprefix('job_')}/"
        print(
            f"\nOpen     {page}\nUser     {operator['username']}\nPassword {operator['password']}"
            f"   (kept in {data / 'operator.json'})"
        )
        if options.once:
            return 0
        print("\nServing until Ctrl-C …", flush=True)
        return platform.wait()
    except DemoFailed as error:
        print(f"\nThe demo failed: {error}\nThe platform's log: {log}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopping …")
        return 0
    finally:
        platform.terminate()
        try:
            platform.wait(timeout=15)
        except subprocess.TimeoutExpired:
            platform.kill()


if __name__ == "__main__":
    sys.exit(main())
