"""What a user does with a run, against a server that answers."""

import argparse
import math
from types import SimpleNamespace
from typing import Any

import pytest

from tests.clients.server import API_KEY, PASSWORD, USERNAME, TrackingServer
from tests.conftest import wait_until


def test_the_documents_example_works_as_written(server: TrackingServer) -> None:
    from ai_manager import AIManager

    # Initialize client
    manager = AIManager(project_name="my_project", api_url=server.url, username=USERNAME, password=PASSWORD)

    # Start training run
    with manager.run(name="training_run") as run:
        for epoch in range(100):
            # Log metrics
            run.log({"loss": 0.5, "accuracy": 0.85}, step=epoch)

    assert [project["name"] for project in server.state.projects] == ["my_project"]
    assert server.state.series(1, "loss") == [(step, 0.5) for step in range(100)]
    assert server.state.series(1, "accuracy") == [(step, 0.85) for step in range(100)]
    stored = server.state.runs[1]
    assert (stored["name"], stored["status"]) == ("training_run", "completed")
    assert stored["ended_at"].count("T") == 1


def test_a_project_is_found_by_its_name_among_the_users_own(server: TrackingServer, manager: Any) -> None:
    server.state.projects += [
        {"id": 7, "name": "my_project", "owner_id": 2},
        {"id": 8, "name": "my_project", "owner_id": 1},
    ]
    manager.run(name="a").finish()
    assert server.state.runs[1]["project_id"] == 8
    assert len(server.state.projects) == 2


def test_a_project_is_found_on_a_later_page(
    server: TrackingServer, manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_manager.calls.PAGE", 2)
    server.state.projects += [{"id": 10 + i, "name": f"p{i}", "owner_id": 1} for i in range(5)]
    server.state.projects.append({"id": 99, "name": "my_project", "owner_id": 1})
    manager.run(name="a").finish()
    assert server.state.runs[1]["project_id"] == 99


def test_two_runs_of_a_manager_share_a_project_and_a_login(server: TrackingServer, manager: Any) -> None:
    with manager.run(name="a"), manager.run(name="b"):
        pass
    assert [run["project_id"] for run in server.state.runs.values()] == [1, 1]
    assert server.state.logins == 1


def test_an_api_key_serves_from_the_environment(server: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_manager import AIManager

    monkeypatch.setenv("AI_MANAGER_API_KEY", API_KEY)
    monkeypatch.setenv("AI_MANAGER_API_URL", server.url + "/")
    monkeypatch.setenv("AI_MANAGER_PROJECT", "from the environment")
    with AIManager().run() as run:
        run.log({"loss": 1.0})
    assert server.state.logins == 0
    assert server.state.projects[0]["name"] == "from the environment"
    assert run.url == f"{server.url}/ui/runs/1/"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"project_name": ""}, "project_name"),
        ({"api_url": "localhost:8000"}, "localhost:8000"),
        ({"username": None}, "Credentials"),
        ({"mode": "on"}, "'on'"),
        ({"project_name": "x" * 201}, "201"),
    ],
)
def test_what_is_missing_is_named_at_once(arguments: dict[str, Any], named: str) -> None:
    from ai_manager import AIManager, SettingsError

    with pytest.raises(SettingsError, match=named):
        AIManager(**{"project_name": "p", "username": "u", "password": "p", **arguments})


def test_wrong_credentials_are_told_before_the_training(server: TrackingServer) -> None:
    from ai_manager import AIManager, AuthenticationError

    with pytest.raises(AuthenticationError, match="Could not validate credentials"):
        AIManager("p", server.url, USERNAME, "wrong").run(name="a")


def test_steps_count_by_themselves_and_go_on_after_a_given_one(server: TrackingServer, manager: Any) -> None:
    with manager.run() as run:
        run.log({"loss": 1})
        run.log({"loss": 2})
        run.log({"loss": 3}, step=10)
        run.log({"loss": 4})
    assert server.state.series(1, "loss") == [(0, 1.0), (1, 2.0), (10, 3.0), (11, 4.0)]


class Tensor:
    """As PyTorch's: no float itself, but it has an item."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        if isinstance(self.value, list):
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.value


def test_scalars_of_every_kind_are_numbers(server: TrackingServer, manager: Any) -> None:
    import numpy as np

    with manager.run() as run:
        run.log(
            {
                "int": 3,
                "bool": True,
                "float32": np.float32(0.5),
                "int64": np.int64(7),
                "0-d": np.array(2.5),
                "one": np.array([4.0]),
                "tensor": Tensor(1.5),
                "nan": math.nan,
                "inf": -math.inf,
                "train": {"loss": 0.25, "deep": {"x": 1}},
            },
            step=np.int64(5),
        )
    logged = {name: (step, value) for _, name, step, value, _ in server.state.points}
    assert math.isnan(logged.pop("nan")[1])
    assert logged == {
        "int": (5, 3.0),
        "bool": (5, 1.0),
        "float32": (5, 0.5),
        "int64": (5, 7.0),
        "0-d": (5, 2.5),
        "one": (5, 4.0),
        "tensor": (5, 1.5),
        "inf": (5, -math.inf),
        "train/loss": (5, 0.25),
        "train/deep/x": (5, 1.0),
    }


def test_what_is_no_number_is_told_once_and_the_rest_is_logged(
    server: TrackingServer, manager: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with manager.run() as run:
        for _ in range(3):
            run.log({"text": "abc", "none": None, "two": Tensor([1, 2]), "x" * 300: 1.0, "": 1.0, "huge": 10**400})
            run.log({"nul\0": 1.0, "half \ud800": 1.0, "loss": 0.5})
        run.log({"loss": 0.5}, step="soon")
        run.log({"loss": 0.5}, step=2**63)
        run.log(None)
    told = "\n".join(caplog.messages)
    assert told.count("'text' is not logged: str, not a number") == 1
    assert told.count("'none' is not logged: NoneType") == 1
    assert told.count("300 characters") == 1
    assert told.count("step 'soon'") == 1
    assert {name for _, name, *_ in server.state.points} == {"loss"}
    assert len(server.state.points) == 3


def test_a_dictionary_may_be_used_again_after_it_was_logged(server: TrackingServer, manager: Any) -> None:
    values: dict[str, Any] = {}
    with manager.run() as run:
        for step in range(5):
            values["loss"] = float(step)
            run.log(values, step=step)
    assert server.state.series(1, "loss") == [(step, float(step)) for step in range(5)]


def test_config_and_tags_are_kept_and_may_change(server: TrackingServer, manager: Any) -> None:
    given = {"lr": 0.1, "layers": (1, 2), "args": argparse.Namespace(seed=3), "odd": object, "nan": math.nan}
    with manager.run(config=given, tags=["demo"]) as run:
        stored = dict(server.state.runs[1]["config"])
        assert stored.pop("odd") == "<class 'object'>"
        assert stored == {"lr": 0.1, "layers": [1, 2], "args": {"seed": 3}, "nan": "nan"}
        assert server.state.runs[1]["tags"] == ["demo"]
        run.config["epochs"] = 5
        run.config.update(lr=0.2)
        run.set_tags(["demo", "best"])
    stored = server.state.runs[1]
    assert (stored["config"]["lr"], stored["config"]["epochs"], stored["tags"]) == (0.2, 5, ["demo", "best"])
    assert len(server.state.requests_to("PUT", "/runs/1")) <= 3


def test_an_exception_fails_the_run_with_its_reason_and_goes_on(server: TrackingServer, manager: Any) -> None:
    with pytest.raises(ZeroDivisionError), manager.run() as run:
        run.log({"loss": 1 / 0})
    assert server.state.runs[1]["status"] == "failed"
    assert server.state.runs[1]["status_reason"] == "ZeroDivisionError: division by zero"


def test_ctrl_c_cancels_the_run(server: TrackingServer, manager: Any) -> None:
    with pytest.raises(KeyboardInterrupt), manager.run():
        raise KeyboardInterrupt
    assert server.state.runs[1]["status"] == "cancelled"


def test_a_server_without_reasons_still_learns_the_status(server: TrackingServer, manager: Any) -> None:
    server.state.refused_fields = {"status_reason"}
    manager.run().finish("failed", "out of memory")
    assert server.state.runs[1]["status"] == "failed"


def test_a_run_is_ended_once(server: TrackingServer, manager: Any) -> None:
    run = manager.run()
    run.finish("failed")
    run.finish()
    assert server.state.runs[1]["status"] == "failed"
    with pytest.raises(ValueError, match="'done'"):
        run.finish("done")


def test_logging_after_the_end_is_told(server: TrackingServer, manager: Any, caplog: pytest.LogCaptureFixture) -> None:
    run = manager.run()
    run.finish()
    run.log({"loss": 1.0})
    assert "has ended" in caplog.messages[-1]


@pytest.mark.parametrize("tells_next_step", [True, False], ids=["this_platform", "the_document_only"])
def test_a_run_is_resumed_by_its_id_and_its_steps_go_on(
    server: TrackingServer, manager: Any, tells_next_step: bool
) -> None:
    server.state.tells_next_step = tells_next_step
    with manager.run(name="first", config={"lr": 0.1}) as run:
        run.log({"loss": 1.0, "a b": 1.0}, step=41)
    with manager.run(id=1) as again:
        assert (again.name, dict(again.config)) == ("first", {"lr": 0.1})
        wait_until(lambda: server.state.runs[1]["status"] == "running", what="the run going on")
        again.log({"loss": 0.5})
    assert server.state.series(1, "loss") == [(41, 1.0), (42, 0.5)]
    assert server.state.runs[1]["status"] == "completed"
    assert len(server.state.requests_to("GET", "/metrics/1/history")) == (0 if tells_next_step else 2)


def test_a_run_that_is_not_there_cannot_be_resumed(manager: Any) -> None:
    from ai_manager import Refused

    with pytest.raises(Refused, match="Resource not found"):
        manager.run(id=5)


def test_disabled_nothing_is_sent_or_kept(server: TrackingServer, tmp_path: Any) -> None:
    from ai_manager import AIManager

    with AIManager("p", server.url, mode="disabled").run() as run:
        run.log({"loss": 1.0})
        run.config["a"] = 1
    assert server.state.requests == []
    assert not (tmp_path / "spool").exists()


def test_many_threads_may_log_into_one_run(server: TrackingServer, manager: Any) -> None:
    import threading

    with manager.run() as run:

        def work(number: int) -> None:
            for step in range(500):
                run.log({f"loss/{number}": float(step)}, step=step)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(8):
        assert server.state.series(1, f"loss/{number}") == [(step, float(step)) for step in range(500)]


def test_points_arrive_while_the_run_goes_on(server: TrackingServer, manager: Any) -> None:
    run = manager.run()
    run.log({"loss": 1.0})
    wait_until(lambda: server.state.points, what="the point")
    assert run.flush(timeout=60)
    run.finish()


def test_a_broken_object_never_breaks_the_training(
    server: TrackingServer, manager: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> None:
        raise RuntimeError("CUDA error")

    with manager.run() as run:
        run.log({"loss": SimpleNamespace(item=explode), "fine": 1.0})
    assert "CUDA error" in "\n".join(caplog.messages)
    assert server.state.series(1, "fine") == [(0, 1.0)]


def test_a_very_long_run_is_sent_in_requests_of_bounded_size(server: TrackingServer, manager: Any) -> None:
    with manager.run() as run:
        for step in range(12_000):
            run.log({"a": 1.0, "b": 2.0}, step=step)
    assert len(server.state.series(1, "a")) == 12_000
    assert [step for step, _ in server.state.series(1, "b")] == list(range(12_000))


def test_a_request_that_is_too_large_is_halved(server: TrackingServer, manager: Any) -> None:
    from tests.clients.server import Fault

    run = manager.run()
    server.state.faults += [Fault(status=413, path="/metrics/") for _ in range(3)]
    for step in range(10):
        run.log({"a": 1.0, "b": 2.0}, step=step)
    run.finish()
    assert [step for step, _ in server.state.series(1, "a")] == list(range(10))
    assert len(server.state.points) == 20
