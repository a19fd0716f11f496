"""What a user of the platform has after a while: made by the services and transitions that make it in real life."""

import io
from typing import Any

from datasets_app.models import Dataset
from datasets_app.services import dataset_upload
from jobs import lifecycle
from jobs.models import Attempt, Job, TrainedModel, Worker
from jobs.services.submission import inference_submit, training_submit
from tracking.models import User
from tracking.stream import LogEntry, Point

CSV = "height,leaves,kind\n" + "".join(f"{i % 7}.5,{i % 5},{'tall' if i % 7 > 3 else 'short'}\n" for i in range(70))
COLUMNS = [
    {"name": "height", "kind": "number", "examples": [1.5]},
    {"name": "leaves", "kind": "integer", "examples": [3]},
]
REPORT = {
    "confusion_matrix": {"labels": ["short", "tall"], "matrix": [[3, 1], [0, 4]]},
    "feature_importances": [{"name": "height", "importance": 0.8}, {"name": "leaves", "importance": 0.2}],
    "per_class": [{"label": "short", "precision": 1.0, "recall": 0.75, "f1": 0.86, "support": 4}],
}


class Things:
    """The things of `owner`. One worker of the test's own does whatever is done."""

    def __init__(self, owner: User) -> None:
        self.owner = owner

    def dataset(self, content: str = CSV, filename: str = "plants.csv") -> Dataset:
        return dataset_upload(owner=self.owner, file=io.BytesIO(content.encode()), filename=filename)

    def training(self, **order: Any) -> Job:
        """A pending training; of a data set of its own if no `data_path` is given."""
        data_path = order.pop("data_path", None) or self.dataset().public_id
        return training_submit(user=self.owner, **{"model_type": "random_forest", "data_path": data_path, **order})

    def running(self, *, message: str = "tree 50 of 100", **order: Any) -> Job:
        """A training in mid-work, with metrics and a log."""
        job = self.training(**order)
        points = [Point("loss", 1.0 / (step + 1), step=step) for step in range(5)]
        logs = [LogEntry("INFO", "began"), LogEntry("WARN", "3 rows were left out")]
        entry = lifecycle.Report(logs=logs, points=points, progress=0.5, message=message)
        lifecycle.report(attempt=claim(job), job=job, entry=entry)
        return reread(job)

    def failed(self, error: str = "column 'kind', row 3: missing", **order: Any) -> Job:
        job = self.training(**order)
        lifecycle.fail(attempt=claim(job), job=job, failure=lifecycle.Failure(error, "own"))
        return reread(job)

    def model(self, **facts: Any) -> TrainedModel:
        """What a training that completed has left (no files: nothing here predicts)."""
        job = self.training(**facts.pop("order", {}))
        known = {
            "name": "plants",
            "model_type": job.model_type,
            "framework": "sklearn",
            "framework_version": "1.9",
            "task": "classification",
            "metrics": {"accuracy": 0.875, "training_time": 0.5},
            "report": REPORT,
            "schema": {"columns": COLUMNS, "target": "kind"},
        }
        owned = {"public_id": job.model_public_id, "job": job, "owner": self.owner, "project": job.project}
        model = TrainedModel(**owned | known | facts)
        lifecycle.complete(attempt=claim(job), job=job, result={"model_id": job.model_public_id}, model=model)
        return TrainedModel.objects.get(public_id=job.model_public_id)

    def inference(self, model: TrainedModel | None = None, **order: Any) -> Job:
        """A pending inference."""
        model_id = (model or self.model()).public_id
        return inference_submit(user=self.owner, model_id=model_id, **{"input_data": "1.5,3", **order})

    def prediction(self, model: TrainedModel | None = None, *, label: str = "tall") -> Job:
        """An inference that was answered."""
        job = self.inference(model)
        answer = {"label": label, "score": 0.9, "probabilities": {label: 0.9, "short": 0.1}}
        result = {"model_id": job.model.public_id, "predictions": [answer]}
        final = lifecycle.Report(logs=[LogEntry("INFO", "one row")])
        lifecycle.complete(attempt=claim(job), job=job, result=result, final=final)
        return reread(job)


def worker(name: str = "gardener-1", **facts: Any) -> Worker:
    """A live worker for everything that scikit-learn does."""
    now = lifecycle.database_now()
    known = {"kind": "training", "host": "here", "pid": 1, "queues": ["sklearn", "sklearn-inference"]}
    return Worker.objects.get_or_create(name=name, defaults={"started_at": now, "heartbeat_at": now, **known | facts})[
        0
    ]


def claim(job: Job) -> Attempt:
    """The attempt that a worker begins; whatever else is pending in the job's queue waits meanwhile."""
    Job.objects.filter(pk=job.pk).update(priority=1)
    attempt = lifecycle.claim_next(queue_names=[job.queue], worker=worker())
    assert attempt is not None and attempt.job_id == job.pk
    return attempt


def reread(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)
