"""What a job may leave behind in its process, each looked for in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
GROWTH = 64 * 1024**2


def left_by(code: str) -> str:
    """What `Traces` says after the code has run."""
    script = (
        "from jobs.traces import Traces\n"
        "import gc, logging, os, random, resource, signal, subprocess, sys, tempfile, threading, time\n"
        f"before = Traces()\n{code}\nprint(before.left(max_growth={GROWTH}), flush=True)\nos._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.environ['OMP_NUM_THREADS'] = '1'", "environment"),
        ("os.chdir(tempfile.gettempdir())", "working directory"),
        ("os.umask(0o002)", "umask"),
        ("signal.signal(signal.SIGALRM, print)", "signal handlers"),
        ("signal.setitimer(signal.ITIMER_VIRTUAL, 3600, 3600)", "timers"),
        ("signal.alarm(3600)", "timers"),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", "resource limits"),
        ("os.nice(1)", "priority"),
        ("sys.path.append('/x')", "import path"),
        ("sys.setrecursionlimit(5000)", "recursion limit"),
        ("sys.excepthook = print", "hooks"),
        ("gc.disable()", "garbage collector"),
        ("logging.basicConfig()", "logging"),
        ("threading.Thread(target=time.sleep, args=[60], daemon=True).start()", "threads or processes"),
        # Silent: the script's end is waited for until nobody holds its pipes.
        (
            "child = subprocess.Popen(['sleep', '5'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
            "threads or processes",
        ),
        ("child = subprocess.Popen(['true'])", "threads or processes"),
        ("files = [open(os.devnull) for _ in range(100)]", "open files"),
        (f"kept = random.randbytes({GROWTH * 2})", "memory"),
    ],
)
def test_what_is_left_behind_is_seen(code, words):
    assert left_by(code) == words


@pytest.mark.parametrize(
    "code",
    [
        "",
        "os.environ['A'] = '1'; del os.environ['A']",
        "thread = threading.Thread(target=print); thread.start(); thread.join()",
        "subprocess.run(['true'])",
        "files = [open(os.devnull) for _ in range(5)]",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",  # each attempt sets it
    ],
)
def test_what_is_put_back_is_no_trace(code):
    assert left_by(code) == ""
