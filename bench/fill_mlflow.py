"""Put a series or a table of runs into MLflow's database, through its own models: `bench.tracking` measures how they
are read; by requests they would take MLflow most of an hour.

    fill_mlflow.py STORE series EXPERIMENT POINTS     one run with the series `loss`; prints the run's id
    fill_mlflow.py STORE runs EXPERIMENT COUNT        runs with a point of each of three metrics

Runs in MLflow's environment.
"""

import math
import random
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

TABLE_METRICS = ("loss", "accuracy", "lr")
PARAMETERS = {"lr": "0.1", "batch_size": "32", "model": "resnet"}
ROWS = 10_000  # of one INSERT

Rows = dict[str, list[dict[str, Any]]]  # a table's name -> rows


def series_value(step: int) -> float:
    """A loss that falls, with waves."""
    return math.exp(-step / 300_000) + math.sin(step * 0.7) * 0.05


def table_value(number: int) -> float:
    """What the metrics of the table's run of this number are."""
    return random.Random(number).random()  # noqa: S311 (a number like any other)


def series(experiment: int, points: int) -> Iterator[Rows]:
    run, now = uuid.uuid4().hex, _milliseconds()
    yield {**_run(run, experiment, "long", now), "latest_metrics": [_metric(run, "loss", points - 1, now)]}
    for start in range(0, points, ROWS):
        steps = range(start, min(start + ROWS, points))
        yield {"metrics": [_metric(run, "loss", step, now) for step in steps]}
    print(run)


def runs(experiment: int, count: int) -> Iterator[Rows]:
    now = _milliseconds()
    for start in range(0, count, ROWS):
        rows: Rows = {}
        for number in range(start, min(start + ROWS, count)):
            run = uuid.uuid4().hex
            points = [{**_metric(run, name, 0, now), "value": table_value(number)} for name in TABLE_METRICS]
            made = {**_run(run, experiment, f"run {number}", now), "metrics": points, "latest_metrics": points}
            for table, added in made.items():
                rows.setdefault(table, []).extend(added)
        yield rows


def _run(run: str, experiment: int, name: str, now: int) -> Rows:
    row = {"run_uuid": run, "name": name, "experiment_id": experiment, "status": "FINISHED", "start_time": now}
    row |= {"end_time": now, "lifecycle_stage": "active", "source_type": "LOCAL", "user_id": "bench"}
    row["artifact_uri"] = f"/nowhere/{run}"
    tags = {"mlflow.runName": name, "kind": "bench"}
    return {
        "runs": [row],
        "tags": [{"run_uuid": run, "key": key, "value": value} for key, value in tags.items()],
        "params": [{"run_uuid": run, "key": key, "value": value} for key, value in PARAMETERS.items()],
    }


def _metric(run: str, name: str, step: int, now: int) -> dict[str, Any]:
    value = series_value(step)
    return {"run_uuid": run, "key": name, "step": step, "value": value, "timestamp": now, "is_nan": False}


def _milliseconds() -> int:
    return int(time.time() * 1000)


def main() -> None:
    import sqlalchemy
    from mlflow.store.tracking.dbmodels.models import Base

    store, what, experiment, count = sys.argv[1:]
    engine = sqlalchemy.create_engine(store)
    with engine.begin() as connection:
        for rows in {"series": series, "runs": runs}[what](int(experiment), int(count)):
            for table, added in rows.items():
                connection.execute(Base.metadata.tables[table].insert(), added)
    if engine.dialect.name == "postgresql":  # as autovacuum would have by the time that somebody reads so many rows
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sqlalchemy.text("ANALYZE"))


if __name__ == "__main__":
    main()
