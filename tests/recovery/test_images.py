"""Images the whole way over HTTP: uploaded, learnt from by a job, recognised by another."""

import base64
import io
import json
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import wait_until
from tests.recovery.up import Up
from tests.trainers.vision.conftest import KINDS, picture, png

pytestmark = pytest.mark.recovery

TORCH = ("--queues", "pytorch-2.0,pytorch-inference")
TRAINING_SECONDS = 180.0  # of a small training on a busy machine


def upload(up: Up, name: str, content: bytes) -> dict[str, Any]:
    """POST a file as a browser's form does."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    request = urllib.request.Request(
        f"{up.address}/api/v1/datasets/upload",
        head.encode() + content + f"\r\n--{mark}--\r\n".encode(),
        {"Content-Type": f"multipart/form-data; boundary={mark}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def done(up: Up, job: dict[str, Any], timeout: float = TRAINING_SECONDS, pause: float = 0.02) -> dict[str, Any]:
    """The job's status once it has ended. `pause`: seconds between two looks, which take from what they look at."""

    def ended() -> dict[str, Any] | None:
        status = up.get(f"/jobs/{job['job_id']}/status")
        return status if status["status"] in ("completed", "failed", "cancelled") else None

    status: Any = wait_until(ended, timeout=timeout, what="the job's end", told=up.said, pause=pause)
    return status


def predictions(up: Up, model_id: str, given: Any, **parameters: Any) -> list[dict[str, Any]]:
    order = {"model_id": model_id, "input_data": given, "parameters": parameters}
    status = done(up, up.post("/jobs/inference", order))
    assert status["status"] == "completed", status
    return status["result"]["predictions"]


def zipped(pictures: dict[str, Image.Image]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, image in pictures.items():
            archive.writestr(name, png(image))
    return buffer.getvalue()


def test_images_are_uploaded_learnt_from_and_recognised(start: Callable[..., Up]) -> None:
    up = start("data", *TORCH, AUTOML_TEST_TRAINERS="").ready()
    images = {f"{kind}/{number}.png": picture(kind, number, 28) for kind in KINDS for number in range(16)}
    data = upload(up, "shapes.zip", zipped(images))
    assert data["analysis"]["columns"] == ["image", "label"]
    order = {
        "model_type": "alexnet",
        "data_path": data["dataset_id"],
        # As the document's example: more classes than the data has.
        "hyperparameters": {"epochs": 2, "learning_rate": 0.001, "batch_size": 16, "num_classes": 1000},
    }
    status = done(up, up.post("/jobs/training", order))
    assert status["status"] == "completed", status
    result = status["result"]
    assert (result["framework"], result["device"]) == ("pytorch", "cpu")
    assert {"accuracy", "training_time"} <= set(result["metrics"])

    disc = picture("disc", 900, 28)
    files = Path(up.data) / "files"
    (files / "new.png").write_bytes(png(disc))
    data_uri = "data:image/png;base64," + base64.b64encode(png(disc)).decode()
    one = upload(up, "one.png", png(disc))["dataset_id"]
    many = upload(up, "many.zip", zipped({"a.png": disc, "b.png": picture("cross", 900, 28)}))["dataset_id"]
    (by_path,) = predictions(up, result["model_id"], "/data/new.png", top_k=2)
    assert by_path["label"] in KINDS
    assert {each["label"] for each in by_path["top_k"]} == set(KINDS), "no class that nothing was learnt of"
    for given in (data_uri, one, {"image": data_uri}):
        (same,) = predictions(up, result["model_id"], given)
        assert (same["label"], same["score"]) == (by_path["label"], pytest.approx(by_path["score"], abs=1e-5))
    both = predictions(up, result["model_id"], many)
    assert [each["image"] for each in both] == ["a.png", "b.png"]
    assert both[0]["score"] == pytest.approx(by_path["score"], abs=1e-4)

    assert len(predictions(up, result["model_id"], data["dataset_id"])) == len(images)
    (files / "broken.png").write_bytes(png(disc)[:60])
    failed = done(up, up.post("/jobs/inference", {"model_id": result["model_id"], "input_data": "/data/broken.png"}))
    assert (failed["status"], failed["error"]) == ("failed", "broken.png is no image that can be read.")
    for outside in ("/etc/hostname", "/data/../secret.png"):
        with pytest.raises(urllib.error.HTTPError, match="422"):
            up.post("/jobs/inference", {"model_id": result["model_id"], "input_data": outside})
