"""Put the table of runs that `bench.tracking` reads into this platform's database, through its services.

    python -m bench.fill_ours PROJECT COUNT     runs with a point of each of three metrics

Runs in the environment of the platform under test.
"""

import sys

from bench.fill_mlflow import TABLE_METRICS, table_value

RUNS = 500  # of one transaction


def fill(project_id: int, count: int) -> None:
    from django.db import transaction

    from tracking.models import Project
    from tracking.services.ingest import Entry, group_log
    from tracking.services.runs import run_create
    from tracking.store_group import Part, SeriesCache

    project = Project.objects.get(pk=project_id)
    config = {"lr": 0.1, "batch_size": 32, "model": "resnet"}
    for start in range(0, count, RUNS):
        numbers = range(start, min(start + RUNS, count))
        with transaction.atomic():
            runs = [run_create(project=project, name=f"run {each}", config=config, tags=["bench"]) for each in numbers]
            entries = [
                Entry(run.pk, [Part(name, [table_value(number)], [0]) for name in TABLE_METRICS])
                for run, number in zip(runs, numbers, strict=True)
            ]
            if not all(group_log(entries, SeriesCache())):
                raise SystemExit("not all points were taken")


if __name__ == "__main__":
    import django

    django.setup()
    fill(int(sys.argv[1]), int(sys.argv[2]))
