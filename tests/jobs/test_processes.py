"""Process trees: found, adopted, killed whole; nothing outlives the one that it belongs to."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from jobs import processes
from tests.conftest import wait_until

ROOT = Path(processes.__file__).resolve().parent.parent
SLEEPER = "import time; time.sleep(600)"
# A child in a session of its own that has a child in another one; it prints the grandchild's pid and, told so, ends.
FAMILY = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", {SLEEPER!r}], start_new_session=True)
print(child.pid, flush=True)
if sys.argv[1] == "leave":
    sys.exit()
time.sleep(600)
"""
# The one whose descendants are meant, in a process of its own: it adopts orphans, which this one must not.
ADOPTER = f"""
import os, subprocess, sys
from jobs import processes
processes.adopt_orphans()
family = [sys.executable, "-S", "-c", {FAMILY!r}, sys.argv[1]]
child = subprocess.Popen(family, start_new_session=True, stdout=subprocess.PIPE, text=True)
grandchild = int(child.stdout.readline())
if sys.argv[1] == "leave":
    child.wait()
spared = subprocess.Popen([sys.executable, "-S", "-c", {SLEEPER!r}])
found = set(processes.descendants(os.getpid(), spare=[spared.pid]))
expected = {{grandchild}} if sys.argv[1] == "leave" else {{child.pid, grandchild}}
left = processes.kill_descendants(spare=[spared.pid])
processes.reap_orphans(except_for=[spared.pid, child.pid])
print(found == expected, left, processes.is_alive(grandchild), processes.is_alive(spared.pid),
      processes.kill_descendants(spare=[spared.pid]))
spared.kill()
"""


def run_python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def start():
    """start(code, *arguments) -> a process that prints a line once it is ready; killed after the test."""
    started = []

    def run(code, *arguments, **options):
        command = [sys.executable, "-S", "-c", code, *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, **options))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("family", ["stay", "leave"])
def test_a_whole_tree_is_killed_also_what_its_parent_left_behind_and_what_is_spared_lives(family):
    assert run_python(ADOPTER, family) == "True [] False True []"


def test_descendants_are_found_below_a_process_and_none_below_one_that_is_gone(start):
    parent = start(FAMILY, "stay")
    grandchild = int(parent.stdout.readline())
    assert processes.descendants(parent.pid) == [grandchild]
    assert parent.pid in processes.descendants(os.getpid())
    assert not {parent.pid, grandchild} & set(processes.descendants(os.getpid(), spare=[parent.pid]))
    os.kill(grandchild, 9)
    parent.kill()
    parent.wait()
    assert processes.descendants(parent.pid) == []


def test_the_dead_and_the_undead_are_not_alive(start):
    process = start("print(1, flush=True)")
    process.stdout.readline()
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, what="the zombie")
    assert not processes.is_alive(process.pid)
    process.wait()
    assert not processes.is_alive(process.pid)
    assert processes.is_alive(os.getpid())


def test_what_carries_the_mark_is_killed_and_nothing_else(start):
    hello = "print(1, flush=True); " + SLEEPER
    marked = start(hello, env={**os.environ, processes.MARK_VARIABLE: "mine"})
    similar = start(hello, env={**os.environ, processes.MARK_VARIABLE: "mine-too"})
    elsewhere = start(hello, start_new_session=True)
    for process in (marked, similar, elsewhere):
        process.stdout.readline()
    assert processes.kill_marked("mine") == [marked.pid]
    assert marked.wait(timeout=10) == -9
    assert processes.kill_marked("mine", sessions=[elsewhere.pid]) == [elsewhere.pid]
    assert elsewhere.wait(timeout=10) == -9
    assert similar.poll() is None


def test_a_guard_kills_what_a_killed_worker_leaves_and_ends(start):
    worker = start(
        f"""
import os, subprocess, sys
sys.path[:0] = [{str(ROOT)!r}]
from jobs import processes
guard = processes.Guard("a-mark-of-this-test")
environment = dict(os.environ, AUTOML_WORKER_MARK=guard.mark)
horse = subprocess.Popen([sys.executable, "-S", "-c", {SLEEPER!r}], start_new_session=True)
marked = subprocess.Popen([sys.executable, "-S", "-c", {SLEEPER!r}], start_new_session=True, env=environment)
guard.watch(horse.pid)
print(guard.pid, horse.pid, marked.pid, flush=True)
marked.wait()
"""
    )
    pids = [int(pid) for pid in worker.stdout.readline().split()]
    assert len(pids) == 3 and all(processes.is_alive(pid) for pid in pids)
    worker.kill()
    worker.wait()
    wait_until(lambda: not any(processes.is_alive(pid) for pid in pids), what="the end of all three")
    assert not any(processes.is_alive(pid) for pid in pids)


def test_a_guard_of_a_worker_that_ends_in_good_order_just_ends():
    guard = processes.Guard("another-mark-of-this-test")
    assert processes.is_alive(guard.pid)
    guard.watch(0)
    guard.stop()
    assert not processes.is_alive(guard.pid)


def test_a_child_dies_with_its_parent(start):
    parent = start(
        f"""
import os, sys, time
sys.path[:0] = [{str(ROOT)!r}]
from jobs import processes
me = os.getpid()
if os.fork() == 0:
    processes.die_with_parent(me)
    print(os.getpid(), flush=True)
time.sleep(600)
"""
    )
    child = int(parent.stdout.readline())
    assert processes.is_alive(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not processes.is_alive(child), what="the child's end")
    assert not processes.is_alive(child)


def test_the_machine_and_its_kills_for_memory_are_told():
    assert processes.machine_id() == processes.machine_id() != ""
    assert processes.oom_kills() >= 0
