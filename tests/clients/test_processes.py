"""How processes end and multiply: forks, Ctrl-C, exceptions, scripts that forget to end their run."""

import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.clients.server import TrackingServer
from tests.conftest import wait_until

Script = Callable[..., "subprocess.Popen[str]"]


def ended(process: "subprocess.Popen[str]", timeout: float = 60.0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=timeout)
    return output, errors


def steps(server: TrackingServer, run_id: int = 1, name: str = "loss") -> list[int]:
    return [step for step, _ in server.state.series(run_id, name)]


def test_a_script_that_forgets_to_end_its_run_ends_it_with_itself(server: TrackingServer, script: Script) -> None:
    process = script(
        """
        run = manager.run()
        for step in range(1000):
            run.log({"loss": 1.0}, step=step)
        """
    )
    _, errors = ended(process)
    assert process.returncode == 0, errors
    assert steps(server) == list(range(1000))
    assert server.state.runs[1]["status"] == "completed"


def test_an_uncaught_exception_fails_the_run_without_a_with(server: TrackingServer, script: Script) -> None:
    process = script(
        """
        run = manager.run()
        run.log({"loss": 1.0})
        raise RuntimeError("out of memory")
        """
    )
    _, errors = ended(process)
    assert process.returncode == 1
    assert "RuntimeError: out of memory" in errors
    assert server.state.runs[1]["status"] == "failed"
    assert server.state.runs[1]["status_reason"] == "RuntimeError: out of memory"
    assert steps(server) == [0]


@pytest.mark.parametrize("with_block", [True, False])
def test_ctrl_c_sends_what_was_logged_and_cancels_the_run(
    server: TrackingServer, script: Script, with_block: bool
) -> None:
    loop = """
        step = 0
        while True:
            run.log({"loss": 1.0}, step=step)
            step += 1
            time.sleep(0.001)
    """
    head = "with manager.run() as run:" if with_block else "run = manager.run()\nif True:"
    process = script(head + loop.replace("\n        ", "\n    "))
    wait_until(lambda: len(server.state.points) > 50, timeout=30, what="points")
    process.send_signal(signal.SIGINT)
    _, errors = ended(process)
    assert "KeyboardInterrupt" in errors
    assert server.state.runs[1]["status"] == "cancelled"
    assert steps(server) == list(range(len(server.state.points)))


def test_a_process_that_ends_while_the_server_is_away_ends_soon_and_says_what_to_do(
    server: TrackingServer, script: Script
) -> None:
    server.state.away = True
    process = script(
        """
        with manager.run() as run:
            for step in range(100):
                run.log({"loss": 1.0}, step=step)
        """,
        AI_MANAGER_EXIT_SECONDS="0.5",
    )
    _, errors = ended(process, timeout=20)
    assert process.returncode == 0, errors
    assert "ai_manager sync" in errors
    server.state.away = False
    folder = errors.split("ai_manager sync ")[1].split()[0]
    from ai_manager.cli import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AI_MANAGER_PASSWORD", "password")
        assert main(["sync", folder, "--api-url", server.url, "--username", "ann"]) == 0
    assert steps(server) == list(range(100))
    assert server.state.runs[1]["status"] == "completed"


def test_a_forked_child_logs_into_its_parents_run(server: TrackingServer, script: Script) -> None:
    process = script(
        """
        with manager.run() as run:
            for step in range(100):
                run.log({"parent": 1.0}, step=step)
            children = []
            for number in range(3):
                pid = os.fork()
                if pid == 0:
                    for step in range(100):
                        run.log({f"child/{number}": 1.0}, step=step)
                    sys.exit(0)
                children.append(pid)
            for pid in children:
                assert os.waitpid(pid, 0)[1] == 0
            for step in range(100, 200):
                run.log({"parent": 1.0}, step=step)
        """
    )
    _, errors = ended(process)
    assert process.returncode == 0, errors
    assert steps(server, name="parent") == list(range(200))
    for number in range(3):
        assert steps(server, name=f"child/{number}") == list(range(100))
    assert server.state.runs[1]["status"] == "completed"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_lose_nothing(server: TrackingServer, script: Script, method: str) -> None:
    process = script(
        f"""
        def work(number):
            own = manager.run(name=f"child {{number}}")
            for step in range(100):
                own.log({{"loss": 1.0}}, step=step)

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with manager.run(name="parent") as run:
                run.log({{"loss": 1.0}})
                workers = [context.Process(target=work, args=(number,)) for number in range(2)]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
                    assert worker.exitcode == 0
        """
    )
    _, errors = ended(process)
    assert process.returncode == 0, errors
    by_name = {run["name"]: run for run in server.state.runs.values()}
    assert {run["status"] for run in by_name.values()} == {"completed"}
    for number in range(2):
        assert steps(server, by_name[f"child {number}"]["id"]) == list(range(100))
    assert steps(server, by_name["parent"]["id"]) == [0]


def test_a_child_that_is_forked_while_threads_log_does_not_hang(server: TrackingServer, script: Script) -> None:
    process = script(
        """
        run = manager.run()
        stop = threading.Event()

        def work(number):
            step = 0
            while not stop.is_set():
                run.log({f"loss/{number}": 1.0}, step=step)
                step += 1
                time.sleep(0.0005)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20):
            pid = os.fork()
            if pid == 0:
                run.log({"child": 1.0}, step=number)
                run.flush(10)
                os._exit(0)
            os.waitpid(pid, 0)
        stop.set()
        for thread in threads:
            thread.join()
        run.finish()
        """
    )
    _, errors = ended(process)
    assert process.returncode == 0, errors
    assert steps(server, name="child") == list(range(20))
    for number in range(4):
        logged = steps(server, name=f"loss/{number}")
        assert logged == list(range(len(logged))) and logged


def test_an_exit_code_says_whether_the_run_failed(server: TrackingServer, script: Script) -> None:
    process = script(
        """
        try:
            with manager.run(name="failed"):
                sys.exit(3)
        except SystemExit:
            pass
        with manager.run(name="fine"):
            sys.exit(0)
        """
    )
    ended(process)
    assert [run["status"] for run in server.state.runs.values()] == ["failed", "completed"]
