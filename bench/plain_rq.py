"""What a user would pick instead: HTTP submit -> plain RQ (forking worker) -> result in Redis, no database.

`serve` is a bare ASGI application; `work` runs RQ's own worker, with RQ's own pickle and registries.
"""

import json
import os
import sys
import time
from typing import Any

import redis
import rq

CONNECTION = redis.Redis.from_url(os.environ.get("BENCH_REDIS_URL", "redis://"))


def noop() -> dict[str, float]:
    """The whole work; its answer is when it began."""
    return {"started": time.time()}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """POST /jobs enqueues and answers the id."""
    if scope["type"] != "http":
        return
    await receive()
    job = rq.Queue("bench", connection=CONNECTION).enqueue("bench.plain_rq.noop", result_ttl=600)
    body = json.dumps({"job_id": job.id}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        import uvicorn

        uvicorn.run(
            application, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", loop="uvloop", lifespan="off"
        )
    else:
        rq.Worker(["bench"], connection=CONNECTION).work(logging_level="WARNING")
