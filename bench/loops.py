"""The client of bench/tracking.py's `loops`: `loops.py ours|mlflow ADDRESS STEPS`, in the client's own environment.

Eight runs, each in a thread, log 5 metrics a step, as fast as they can, through the client library as its documents
show it. Printed are the seconds from the first step until all points are on the server.
"""

import sys
import threading
import time
from collections.abc import Callable

RUNS = 8


def values(step: int) -> dict[str, float]:
    return {"loss": 1 / (step + 1), "accuracy": step / 1e4, "lr": 0.1, "grad_norm": step % 7, "throughput": 100.0}


def in_threads(task: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=task, args=(number,)) for number in range(RUNS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ours(address: str, steps: int) -> float:
    from ai_manager import AIManager

    manager = AIManager(project_name="loops", api_url=address)
    runs = [manager.run(name=f"run {number}") for number in range(RUNS)]

    def loop(number: int) -> None:
        with runs[number] as run:
            for step in range(steps):
                run.log(values(step), step=step)

    started = time.perf_counter()
    in_threads(loop)
    return time.perf_counter() - started


def mlflow(address: str, steps: int) -> float:
    import mlflow
    from mlflow.entities import Metric

    mlflow.set_tracking_uri(address)
    mlflow.set_experiment("loops")
    client = mlflow.MlflowClient()
    experiment = mlflow.get_experiment_by_name("loops").experiment_id
    ids = [client.create_run(experiment).info.run_id for _ in range(RUNS)]

    def loop(number: int) -> None:
        for step in range(steps):
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, step) for name, value in values(step).items()]
            client.log_batch(ids[number], metrics=metrics, synchronous=False)

    started = time.perf_counter()
    in_threads(loop)
    mlflow.flush_async_logging()
    for run_id in ids:
        client.set_terminated(run_id)
    return time.perf_counter() - started


if __name__ == "__main__":
    kind, address, steps = sys.argv[1:]
    seconds = {"ours": ours, "mlflow": mlflow}[kind](address, int(steps))
    print(seconds)
