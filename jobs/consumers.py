"""`/ws/jobs/<uuid>`: what the job's page follows.

{"type": "job", "status", "progress", "message", …}    first, and whenever it has changed; without an id
{"type": "metric" | "log" | "run", "id", …}            of the job's run after `?last_id=` (0: from the start)
{"type": "log", "id", …}                               of the job itself, where it has no run
{"type": "end"}                                        the job has ended and all was sent; the socket is closed
"""

import uuid
from collections.abc import Sequence
from typing import Any

from automl_site.errors import NotFound
from jobs.models import FINAL_STATUSES, Job, JobLogLine
from jobs.selectors.jobs import job_snapshot, parse_job_id
from tracking import stream
from tracking.consumers import LiveSocket, Scope, Subscription
from tracking.feeds import State
from tracking.models import Run, User


class JobSource:
    """A job's state, and the stream of its run or, where it has none, its own log."""

    def __init__(self, job_id: uuid.UUID, run_id: int | None) -> None:
        self.job_id = job_id
        self.run_id = run_id
        self.key = f"job:{job_id}"
        self.topics: Sequence[str] = (self.key, f"run:{run_id}") if run_id else (self.key,)

    def head(self) -> int:
        if self.run_id:
            return Run.objects.filter(pk=self.run_id).values_list("seq", flat=True).first() or 0
        return Job.objects.filter(pk=self.job_id).values_list("log_seq", flat=True).first() or 0

    def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        if self.run_id:
            messages = stream.read(run_id=self.run_id, after=after, limit=limit)
        else:
            lines = JobLogLine.objects.filter(job_id=self.job_id, seq__gt=after).order_by("seq")[:limit]
            messages = [
                {
                    "type": "log",
                    "id": line.seq,
                    "level": line.level,
                    "message": line.message,
                    "timestamp": stream.timestamp(line.time),
                    "agent": "",
                    "node": "",
                }
                for line in lines
            ]
        # Times carry their zone here, as on the contracts that jobs come by; a browser reads one without as local time.
        return [m | {"timestamp": m["timestamp"] + "Z"} if "timestamp" in m else m for m in messages]

    def state(self) -> State:
        snapshot = job_snapshot(self.job_id)
        if snapshot is None:  # deleted meanwhile: nothing will come
            return State(is_final=True)
        return State(snapshot, is_final=snapshot["status"] in FINAL_STATUSES)


class JobSocket(LiveSocket):
    def subscribe(self, *, user: User, scope: Scope) -> Subscription:
        job_id = parse_job_id(scope["url_route"]["kwargs"]["job_id"])
        job = Job.objects.visible_to(user).select_related("run").filter(pk=job_id).first() if job_id else None
        if job is None:
            raise NotFound("Job not found")
        return Subscription(
            source=JobSource(job.pk, job.run_id),
            head=job.run.seq if job.run else job.log_seq,
        )
