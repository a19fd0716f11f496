"""scripts/setup.sh: once is enough, half is nothing, and what is missing is named.

All but one of these run with a stand-in for Python and for pip, which makes and installs nothing, in milliseconds.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = r"""#!/bin/bash
# A Python 3.11 that logs its `-m pip` calls beside the script and ends as PIP_STATUS says.
case "$1 $2" in
    "--version ") echo "Python 3.11.2" ;;
    "-c import ensurepip"*) exit "${ENSUREPIP_STATUS:-0}" ;;
    "-c import sys; print"*) echo python3.11-venv ;;
    "-m venv")
        venv=${*: -1}
        rm -rf "$venv" && mkdir -p "$venv/bin" "$venv/lib/python3.11/site-packages/pip"
        cp "$0" "$venv/bin/python" && echo "VIRTUAL_ENV=$PWD/$venv" >"$venv/bin/activate" ;;
    "-m pip")
        if [ -n "${PIP_SECONDS:-}" ]; then "$REAL_PYTHON" -c "$SLOWLY" || exit 1; fi
        echo "$*" >>pip.log; exit "${PIP_STATUS:-0}" ;;
esac
"""
# As pip does: at Ctrl-C it ends by itself, with status 1. In Python: a shell that is just forking may lose a signal.
SLOWLY = """
import os, sys, time
try:
    open("pip.began", "w").close()
    time.sleep(float(os.environ["PIP_SECONDS"]))
except KeyboardInterrupt:
    sys.exit(1)
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with the script, a stand-in for Python, and requirement files that ask for nothing."""
    house = tmp_path / "house"
    for folder in ("scripts", "requirements", "bin"):
        (house / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", house / "scripts")
    (house / "requirements.txt").write_text("-r requirements/dev.txt\n")
    for name in ("worker-sklearn", "dev", "constraints"):
        (house / "requirements" / f"{name}.txt").write_text("")
    write_command(house, "python-stand-in", PYTHON)
    return house


def write_command(house: Path, name: str, text: str) -> None:
    (house / "bin" / name).write_text(text)
    (house / "bin" / name).chmod(0o755)


def environment(house: Path, **more: str) -> dict[str, str]:
    path = f"{house / 'bin'}:{os.environ['PATH']}"
    stand_in = {"PYTHON": "python-stand-in", "REAL_PYTHON": sys.executable, "SLOWLY": SLOWLY}
    return {**os.environ, "PATH": path, **stand_in, **more}


def setup(house: Path, group: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [house / "scripts" / "setup.sh", group]
    return subprocess.run(command, env=environment(house, **more), capture_output=True, text=True, timeout=120)


def installations(house: Path) -> int:
    log = house / "pip.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.full
def test_a_real_python_makes_a_real_environment_once(house: Path) -> None:
    real = {"PYTHON": "", "PIP_NO_INDEX": "1"}
    first = setup(house, "sklearn", **real)
    assert first.returncode == 0, first.stderr
    assert subprocess.run([house / ".venv" / "bin" / "python", "-m", "pip", "--version"]).returncode == 0
    again = setup(house, "sklearn", **real)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_group_is_installed_once_and_brings_its_smaller_ones(house: Path) -> None:
    assert setup(house, "dev").returncode == 0
    for group in ("dev", "sklearn", "dev"):
        assert setup(house, group).stdout == ""
    assert installations(house) == 1
    assert "Installing requirements.txt" in setup(house, "all").stdout


@pytest.mark.parametrize("file", ["requirements.txt", "requirements/dev.txt", "requirements/constraints.txt"])
def test_a_changed_requirement_file_installs_again(house: Path, file: str) -> None:
    setup(house, "dev")
    with (house / file).open("a") as requirements:
        requirements.write("# changed\n")
    assert "Installing requirements/dev.txt" in setup(house, "dev").stdout
    assert installations(house) == 2


def test_a_failed_installation_is_not_taken_for_done(house: Path) -> None:
    for _ in range(2):
        answer = setup(house, "dev", PIP_STATUS="1")
        assert answer.returncode != 0
        assert "nothing was marked as done" in answer.stderr
    assert setup(house, "dev").returncode == 0
    assert installations(house) == 3


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_installation_cut_short_starts_from_an_empty_environment(house: Path, how: signal.Signals) -> None:
    setup(house, "sklearn")
    began = house / "pip.began"
    with (house / "requirements.txt").open("a") as requirements:
        requirements.write("# changed\n")
    slow = subprocess.Popen(
        [house / "scripts" / "setup.sh", "sklearn"],
        env=environment(house, PIP_SECONDS="60"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert slow.stdout is not None
    assert "Installing" in slow.stdout.readline()
    half = house / ".venv" / "half-a-package"
    half.touch()
    wait_until(began.exists, what="pip's begin")
    os.killpg(slow.pid, how)
    slow.communicate(timeout=30)

    answer = setup(house, "sklearn")
    assert answer.returncode == 0, answer.stderr
    assert "Making .venv" in answer.stdout
    assert not half.exists()


@pytest.mark.parametrize(
    ("group", "environment", "file"),
    [
        ("client-loops", ".venv-sdk", "client-loops.txt"),
        ("tensorflow", ".venv-tf", "worker-tensorflow.txt"),
        ("torch-2.1", ".venv-torch-2.1", "worker-torch-2.1.txt"),
        ("torch-2.0", ".venv-torch-2.0", "worker-torch-2.0.txt"),
    ],
)
def test_some_groups_have_an_environment_of_their_own(house: Path, group: str, environment: str, file: str) -> None:
    setup(house, "dev")
    answer = setup(house, group)
    assert answer.returncode == 0, answer.stderr
    assert f"Making {environment}" in answer.stdout
    assert f"requirements/{file}" in (house / "pip.log").read_text().splitlines()[-1]
    assert setup(house, group).stdout == ""
    assert setup(house, "dev").stdout == ""


def test_a_moved_folder_gets_a_new_environment(house: Path) -> None:
    setup(house, "sklearn")
    moved = house.rename(house.with_name("moved"))
    assert "Making .venv" in setup(moved, "sklearn").stdout


def test_parallel_calls_install_once(house: Path) -> None:
    command = [house / "scripts" / "setup.sh", "dev"]
    more = environment(house, PIP_SECONDS="0.3")
    running = [subprocess.Popen(command, env=more, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum("Making .venv" in output for output in outputs) == 1
    assert installations(house) == 1


def test_an_old_python_is_refused_by_name(house: Path) -> None:
    write_command(house, "python-old", "#!/bin/sh\n[ $1 = --version ] && echo 'Python 3.9.2'\nexit 1\n")
    answer = setup(house, "sklearn", PYTHON="python-old")
    assert answer.returncode != 0
    assert "python-old is not a Python 3.11 or newer" in answer.stderr
    assert not (house / ".venv").exists()


def test_an_old_pytorch_is_not_tried_on_a_newer_python(house: Path) -> None:
    write_command(
        house,
        "python-new",
        """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.12.4" && exit
case "$2" in *"(3, 11))"*) exit 1 ;; esac
exec python-stand-in "$@"
""",
    )
    answer = setup(house, "torch-2.1", PYTHON="python-new")
    assert answer.returncode != 0
    assert "python-new is not a Python 3.11." in answer.stderr
    assert setup(house, "sklearn", PYTHON="python-new").returncode == 0


def test_without_ensurepip_an_ordinary_user_is_told_the_one_command(house: Path) -> None:
    write_command(house, "id", "#!/bin/sh\necho 1000\n")
    answer = setup(house, "sklearn", ENSUREPIP_STATUS="1")
    assert answer.returncode != 0
    assert "sudo apt-get install python3.11-venv" in answer.stderr
    assert not (house / ".venv").exists()


def test_without_ensurepip_root_installs_the_package_of_this_very_python(house: Path) -> None:
    write_command(house, "id", "#!/bin/sh\necho 0\n")
    write_command(house, "apt-get", f'#!/bin/sh\necho "$*" >>{house}/apt.log\n')
    answer = setup(house, "sklearn", ENSUREPIP_STATUS="1")
    assert answer.returncode == 0, answer.stderr
    update, install = (house / "apt.log").read_text().splitlines()
    assert update.startswith("update")
    assert install.startswith("install -y") and install.endswith(" python3.11-venv")
