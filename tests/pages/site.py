"""The platform as it runs, on the test database: a web server, a training and an inference worker, to be looked at.

The web server is `up`'s own (the pages need WebSockets, which Django's live server has none of), on a socket that
stays open when the server is killed, so that it comes back at the same address.
"""

import contextlib
import io
import itertools
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import Client
from playwright.sync_api import Page

from automl_site.errors import NotCancellable
from datasets_app.models import Dataset
from datasets_app.services import dataset_upload
from jobs.models import FINAL_STATUSES, Job, Worker
from jobs.services.control import job_cancel
from jobs.services.submission import training_submit
from tests.conftest import wait_until
from tests.recovery.conftest import START_SECONDS, database_url, told_by
from tracking.models import User

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "correct-horse-7"
GRAPES = ("merlot", "riesling", "syrah")
# Two measures tell the three grapes apart; the target is not the last column.
WINE = "alcohol,grape,ash content,organic\n" + "".join(
    f"{10 + i % 3 + i / 200:.3f},{GRAPES[i % 3]},{2 + (i % 3) / 4 + i / 500:.3f},{'yes' if i % 2 else 'no'}\n"
    for i in range(90)
)
# The number of an offer says nothing: the trainers ignore such a column.
PRICES = "offer,rooms,area,price\n" + "".join(
    f"{1000 + i},{i % 5 + 1},{20.5 + i % 45},{(20.5 + i % 45) * 3 + (i % 5) * 11}\n" for i in range(90)
)


class Site:
    """Everything that it starts is gone after `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.set_inheritable(True)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "automl_site.settings",
            "AUTOML_DATA": str(settings.DATA_DIR),
            "REDIS_URL": settings.REDIS_URL,
            "DATABASE_URL": database_url(),
            "AUTOML_OPEN": "0",
            "AUTOML_CLAIM_CHECK": "0.15",
            "AUTOML_STOP_GRACE": "0.6",
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.numbers = itertools.count(1)

    # --- Processes --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.start_web()
        workers = [self._spawn("worker", "manage.py", "worker", "--kind", kind) for kind in ("training", "inference")]
        wait_until(self._web_answers, timeout=START_SECONDS, what="the web server")
        pids = [worker.pid for worker in workers]
        wait_until(
            lambda: Worker.objects.filter(pid__in=pids).count() == len(pids),
            timeout=START_SECONDS,
            what="the workers' registration",
        )

    def start_web(self) -> None:
        descriptor = self.listener.fileno()
        self.web = self._spawn("web", "-m", "automl_site.supervisor.serve", str(descriptor), pass_fds=(descriptor,))

    def kill_web(self) -> None:
        self.web.kill()
        self.web.wait()

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.listener.close()

    def _spawn(self, role: str, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self.processes)}-{role}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**self.environment, "AUTOML_ROLE": role},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
        self.processes.append(process)
        return process

    def _web_answers(self) -> bool:
        assert self.web.poll() is None, self.logs()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def logs(self) -> str:
        return told_by(self.processes, self.folder)

    # --- People and things ------------------------------------------------------------------------------------------

    def new_person(self) -> "Person":
        name = f"ann{next(self.numbers)}"
        return Person(self, User.objects.create_user(name, f"{name}@example.com", PASSWORD))


class Person:
    """Somebody of a test's own, whose things nobody else sees."""

    def __init__(self, site: Site, user: User) -> None:
        self.site = site
        self.user = user

    def opens(self, page: Page, path: str = "/ui/") -> Page:
        """Open a page of the site with this person's session."""
        client = Client()
        client.force_login(self.user)
        session = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": self.site.url}
        page.context.add_cookies([session])
        page.goto(self.site.url + path)
        return page

    def opens_job(self, page: Page, job: Job) -> Page:
        return self.opens(page, f"/ui/jobs/{job.pk}/")

    def uploads(self, content: str = WINE, filename: str = "wine.csv") -> Dataset:
        return dataset_upload(owner=self.user, file=io.BytesIO(content.encode()), filename=filename)

    def sleeper(self, *, description: str = "", **hyperparameters: Any) -> Job:
        """A training that takes a stated time in stated steps."""
        return self._submit("sleeper", self.uploads(), description, hyperparameters)

    def trained(
        self, model_type: str, dataset: Dataset, *, description: str = "", timeout: float = 120, **hyperparameters: Any
    ) -> Job:
        """A training that has completed."""
        job = self._submit(model_type, dataset, description, hyperparameters)
        return self.waits_for(job, "completed", timeout=timeout)

    def trains_two_models(self) -> None:
        """ "Grapes" tells grapes apart, "Prices" puts a price on flats."""
        wine, prices = self.uploads(), self.uploads(PRICES, "prices.csv")
        self.trained("random_forest", wine, description="Grapes", target="grape", n_estimators=20)
        self.trained("random_forest", prices, description="Prices", n_estimators=20)

    def _submit(self, model_type: str, dataset: Dataset, description: str, hyperparameters: dict[str, Any]) -> Job:
        return training_submit(
            user=self.user,
            model_type=model_type,
            data_path=dataset.public_id,
            description=description,
            hyperparameters=hyperparameters,
        )

    def waits_for(self, job: Job, *statuses: str, timeout: float = 120) -> Job:
        def reached() -> bool:
            job.refresh_from_db()
            assert job.status in statuses or job.status not in FINAL_STATUSES, f"{job.status}: {job.error}"
            return job.status in statuses

        wait_until(reached, timeout=timeout, what="/".join(statuses), told=self.site.logs)
        return job

    def leaves(self) -> None:
        """End what runs still: the next test needs the workers."""
        for job in Job.objects.filter(owner=self.user).exclude(status__in=FINAL_STATUSES):
            with contextlib.suppress(NotCancellable):  # it has just ended
                job_cancel(user=self.user, job=job)
