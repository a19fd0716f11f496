"""What a user might pick instead: HTTP submit -> Celery (prefork) -> result in Redis, no database.

Runs in an environment of its own: `serve PORT` is a bare ASGI application, `work N` Celery's own worker with N
processes.
"""

import json
import os
import sys
import time
from typing import Any

from celery import Celery

URL = os.environ.get("BENCH_CELERY_URL", "redis://")
app = Celery("bench", broker=URL, backend=URL)
app.conf.result_expires = 600


@app.task(name="noop")
def noop() -> dict[str, float]:
    """The whole work; its answer is when it began."""
    return {"started": time.time()}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """POST /jobs enqueues and answers the id."""
    if scope["type"] != "http":
        return
    await receive()
    body = json.dumps({"job_id": noop.delay().id}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        import uvicorn

        uvicorn.run(
            application, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", loop="uvloop", lifespan="off"
        )
    else:
        app.worker_main(["worker", "--pool", "prefork", "--concurrency", sys.argv[2], "--loglevel", "WARNING"])
