"""Try the job queue of a running platform, from its health to the list of its jobs, the way a user's program would.

    python scripts/test_api.py --base-url http://localhost:8000 [--api-key KEY] [--only sklearn …]

1. the health endpoint, 2. a training job, 3. its progress, 4. an inference job, 5. the other frameworks, 6. the list of
jobs. A framework that no worker serves is left out, and named. The exit status is 0 only if nothing failed.
"""

import argparse
import csv
import io
import json
import random
import struct
import sys
import tempfile
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "clients" / "python" / "src"))

from ai_job_client import (  # noqa: E402
    AIJobClient,
    AIJobError,
    InferenceResult,
    JobStatus,
    TrainingResult,
)

SEED = 7
SIDE = 32  # pixels
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
GOOD = ("a great product", "works very well", "i love it", "excellent and cheap", "best that i had")
BAD = ("broken on arrival", "a waste of money", "i hate it", "poor and expensive", "worst that i had")
NO_WORKER = "no live worker"  # a job that cannot begin says so in its message


class TestFailed(Exception):
    """Something is not as the contract has it; the text says what."""


class LeftOut(Exception):
    """No worker serves this framework; the text is the platform's."""


@dataclass(frozen=True)
class Case:
    """A model type, a little data to train it on, and something to ask it."""

    framework: str
    model_type: str
    data: Callable[[], tuple[str, bytes]]  # a file's name and content
    hyperparameters: dict[str, Any]
    input_data: Any
    parameters: dict[str, Any]
    metric: str  # what the contract promises for it
    labels: Sequence[str] = ()


# --- Data ------------------------------------------------------------------------------------------------------------
def table() -> tuple[str, bytes]:
    """Three kinds of grapes that two measures tell apart."""
    rows = [["alcohol", "ash", "grape"]]
    for number in range(90):
        kind = number % 3
        rows.append([f"{10 + kind + number / 200:.3f}", f"{2 + kind / 4:.3f}", ("merlot", "riesling", "syrah")[kind]])
    return "grapes.csv", csv_of(rows)


def reviews() -> tuple[str, bytes]:
    """Sentences that are good or bad."""
    rows = [["text", "label"]]
    for number in range(60):
        kind = number % 2
        rows.append([f"{(GOOD, BAD)[kind][number // 2 % 5]} {number}", ("good", "bad")[kind]])
    return "reviews.csv", csv_of(rows)


def verses() -> tuple[str, bytes]:
    """Text to learn a language from, a document a row."""
    rows = [["text"]]
    rows += [[f"the {GOOD[n % 5]} and the {BAD[n % 5]}, said number {n % 10}. " * 4] for n in range(60)]
    return "verses.csv", csv_of(rows)


def images() -> tuple[str, bytes]:
    """Noisy squares of three colours, in a zip with a folder a colour."""
    noise = random.Random(SEED)  # noqa: S311 (no secret)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for label, colour in COLOURS.items():
            for number in range(16):
                archive.writestr(f"{label}/{number}.png", png(colour, noise))
    return "colours.zip", sink.getvalue()


def csv_of(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def png(colour: tuple[int, int, int], noise: random.Random) -> bytes:
    """A square of about that colour as a PNG file (W3C recommendation, 2003)."""
    lines = b"".join(
        b"\0" + bytes(min(max(value + noise.randint(-30, 30), 0), 255) for _ in range(SIDE) for value in colour)
        for _ in range(SIDE)
    )
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    chunks = (
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body)) for tag, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def data_uri(colour: str) -> str:
    content = png(COLOURS[colour], random.Random(SEED + 1))  # noqa: S311 (no secret)
    return f"data:image/png;base64,{b64encode(content).decode()}"


TABLE = Case(
    framework="sklearn",
    model_type="random_forest",
    data=table,
    hyperparameters={"n_estimators": 50, "target": "grape", "random_state": SEED},
    input_data="10.1,2.0",
    parameters={"probability": True},
    metric="accuracy",
    labels=("merlot", "riesling", "syrah"),
)
OTHERS = (
    Case(
        framework="pytorch",
        model_type="alexnet",
        data=images,
        hyperparameters={"epochs": 2, "batch_size": 16, "random_state": SEED},
        input_data=data_uri("red"),
        parameters={"top_k": 3},
        metric="accuracy",
        labels=tuple(COLOURS),
    ),
    Case(
        framework="pytorch",
        model_type="bert",
        data=reviews,
        hyperparameters={"epochs": 2, "batch_size": 16, "max_length": 32, "num_layers": 2, "hidden_size": 64},
        input_data="This is a great product!",
        parameters={"top_k": 2},
        metric="accuracy",
        labels=("good", "bad"),
    ),
    Case(
        framework="pytorch",
        model_type="gpt",
        data=verses,
        hyperparameters={"epochs": 2, "batch_size": 16, "max_length": 64, "num_layers": 2, "hidden_size": 64},
        input_data="the great",
        parameters={"temperature": 0.7, "max_length": 20},
        metric="perplexity",
    ),
    Case(
        framework="tensorflow",
        model_type="mobilenet",
        data=images,
        hyperparameters={"epochs": 1, "batch_size": 16},
        input_data=data_uri("blue"),
        parameters={"top_k": 3},
        metric="accuracy",
        labels=tuple(COLOURS),
    ),
)


# --- The six steps ---------------------------------------------------------------------------------------------------
class Tester:
    """One run of the steps against one platform."""

    def __init__(self, client: AIJobClient, *, timeout: float, patience: float) -> None:
        self.client = client
        self.timeout, self.patience = timeout, patience
        self.job_ids: list[str] = []
        self.failures: list[str] = []
        self.left_out: list[str] = []
        self.done: list[str] = []

    def run(self, frameworks: Sequence[str]) -> int:
        """All six steps; the exit status."""
        print(f"Testing {self.client.base_url}")
        try:
            print("\n1. Health")
            self.health()
            if not frameworks or TABLE.framework in frameworks:
                job_id = self.submit(2, TABLE)
                print("\n3. Progress")
                result = self.follow_training(TABLE, job_id)
                print("\n4. Inference")
                self.infer(TABLE, result.model_id)
                self.done.append(TABLE.model_type)
            print("\n5. Other frameworks")
            for case in OTHERS:
                if not frameworks or case.framework in frameworks:
                    self.try_case(case)
            print("\n6. All jobs")
            self.list_jobs()
        except LeftOut as reason:
            self.failures.append(f"{TABLE.model_type}: {reason}")
        except (AIJobError, TestFailed, TimeoutError, OSError) as error:
            self.failures.append(str(error))
        return self.summary()

    def health(self) -> None:
        found = self.client.health()
        if found.get("status") != "healthy":
            raise TestFailed(f"the platform says that it is {found.get('status')}: {json.dumps(found)}")
        print(f"   healthy, version {found['version']}")

    def submit(self, step: int, case: Case) -> str:
        """Upload the data and queue the training; the job's id."""
        print(f"\n{step}. Training: {case.model_type}" if step == 2 else f"\n   {case.model_type} ({case.framework})")
        dataset = self.upload(*case.data())
        job = self.client.submit_training_job(
            case.model_type,
            dataset,
            hyperparameters=case.hyperparameters,
            description=f"test_api.py: {case.model_type}",
        )
        if job["status"] != "queued":
            raise TestFailed(f"a submitted job is 'queued' by the contract; this one is '{job['status']}'")
        self.job_ids.append(job["job_id"])
        print(f"   {job['job_id']}, estimated {job['estimated_duration']}")
        return job["job_id"]

    def follow_training(self, case: Case, job_id: str) -> TrainingResult:
        result = TrainingResult.of(self.follow(job_id))
        for name in ("training_time", case.metric):
            if name not in result.metrics:
                raise TestFailed(f"{case.model_type} reports no {name}: {result.metrics}")
        where = " ".join(part for part in (result.framework, result.framework_version) if part)
        print(f"   {result.model_id}: {case.metric} {result.metrics[case.metric]:.4g}, by {where} on {result.device}")
        return result

    def follow(self, job_id: str) -> JobStatus:
        """The job's last status. Raises LeftOut, where nobody takes it."""
        try:
            return self.client.wait_for_completion(job_id, self.patience, on_progress=draw)
        except TimeoutError:
            status = self.client.get_job_status(job_id)
        if status["status"] == "pending" and NO_WORKER in status.get("message", ""):
            self.client.cancel_job(job_id)
            raise LeftOut(status["message"])
        return self.client.wait_for_completion(job_id, self.timeout, on_progress=draw)

    def infer(self, case: Case, model_id: str) -> None:
        job = self.client.submit_inference_job(model_id, case.input_data, parameters=case.parameters)
        self.job_ids.append(job["job_id"])
        (prediction,) = InferenceResult.of(self.follow(job["job_id"])).predictions
        if case.labels:
            if prediction.label not in case.labels or prediction.score is None or not 0 <= prediction.score <= 1:
                raise TestFailed(f"{case.model_type} answers {dict(prediction.raw)}, which is none of {case.labels}")
            print(f"   answers '{prediction.label}' with {prediction.score:.3f}")
        elif prediction.text is None:
            raise TestFailed(f"{case.model_type} answers {dict(prediction.raw)}, which is no text")
        else:
            print(f"   answers {prediction.text!r}")

    def try_case(self, case: Case) -> None:
        """Train and ask one more model; what goes wrong is noted, and the next one tried."""
        try:
            job_id = self.submit(5, case)
            self.infer(case, self.follow_training(case, job_id).model_id)
            self.done.append(case.model_type)
        except LeftOut as reason:
            self.left_out.append(f"{case.model_type} ({case.framework}): {reason}")
            print("   left out")
        except (AIJobError, TestFailed, TimeoutError, OSError) as error:
            self.failures.append(f"{case.model_type}: {error}")
            print(f"   FAILED: {error}")

    def list_jobs(self) -> None:
        page = self.client.list_jobs(limit=1000)
        missing = set(self.job_ids) - {job["job_id"] for job in page["jobs"]}
        if missing:
            raise TestFailed(f"these jobs are not in the list: {', '.join(sorted(missing))}")
        for job in page["jobs"]:
            if job["job_id"] in self.job_ids:
                print(f"   {job['job_id']}  {job['job_type']:<9}  {job['status']:<9}  {job['model_type']}")
        print(f"   {page['total']} in all")

    def upload(self, filename: str, content: bytes) -> str:
        """The id of the data set that the file becomes."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, filename)
            path.write_bytes(content)
            return self.client.upload_dataset(path)

    def summary(self) -> int:
        print(f"\nTrained and asked: {', '.join(self.done) or 'nothing'}")
        for line in self.left_out:
            print(f"Left out: {line}")
        for line in self.failures:
            print(f"FAILED: {line}")
        if not self.failures:
            print("All tests passed.")
        return 1 if self.failures or not self.done else 0


def draw(status: JobStatus) -> None:
    """One line of progress; over the last one, where that is a screen's."""
    progress = status["progress"]
    filled = round(30 * progress)
    bar = "#" * filled + "." * (30 - filled)
    line = f"   [{bar}] {progress:4.0%}  {status['status']:<9}  {status.get('message', '')}"
    if sys.stdout.isatty():
        end = "\n" if status["status"] in ("completed", "failed", "cancelled") else ""
        print(f"\r{line[:118]:<118}", end=end, flush=True)
    else:
        print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://localhost:8000")
    parser.add_argument("--api-key", default=None, help="by default AI_JOB_API_KEY; none is needed in open mode")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=["sklearn", "pytorch", "tensorflow"],
        help="only this framework; may be given several times",
    )
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds that one job may take")
    parser.add_argument("--patience", type=float, default=15.0, help="seconds that a job may wait for a first worker")
    options = parser.parse_args()
    client = AIJobClient(options.base_url, api_key=options.api_key)
    tester = Tester(client, timeout=options.timeout, patience=options.patience)
    return tester.run(options.only)


if __name__ == "__main__":
    sys.exit(main())
