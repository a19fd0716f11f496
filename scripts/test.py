"""Run the test suite in its parts and say at the end how each of them went; what `make test` calls.

    sqlite    services, jobs, contracts, architecture … on SQLite, in parallel
    postgres  what touches the database, once more, on a PostgreSQL server started for it
    trainers  the training library, which no database is behind: one process, so that PyTorch is imported once
    pages     the pages in headless Chromium (skipped by name where there is none)
    recovery  real servers and workers, killed in the middle of things: the short tests, which mostly wait, three at a
              time; all of them, many about timing, one after the other

The first two run beside the next two, whose output is kept and shown after them: the pages wait for half their time.
The full suite, which has tests of how long things take, runs one part after the other.

All parts run, whatever the first ones say; the exit status is 0 only if every part passed. With -k or pytest's own
arguments (after `--`) only one part runs: pytest, with these, on one database.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "test-results"
PROCESSES = "2"
RECOVERY_PROCESSES = "3"
# What answers alike on either database, is about files, about odd input at length, or for seconds about a network: on
# both in the full suite only.
ALIKE_ON_BOTH = [
    "tests/architecture",
    "tests/pages",
    "tests/pages_server",
    "tests/admin",
    "tests/clients",
    "tests/contracts/base",
    "tests/contracts/tracking/test_odd_input.py",
    "tests/jobs/test_text_jobs.py",
    "tests/services/test_datasets.py",
    "tests/services/test_datasets_paths.py",
    "tests/services/test_previews.py",
]
# How a server of another make passes the sockets on has nothing to do with the database, nor has what is imported.
ONCE = [
    *(
        f"tests/services/test_live_server.py::{test}[daphne]"
        for test in (
            "test_who_comes_back_misses_nothing_and_sees_nothing_twice_with_or_without_redis",
            "test_a_server_with_open_sockets_ends_when_told_to",
        )
    ),
    "tests/jobs/test_lazy_imports.py::test_a_worker_starts_and_trains_forests_without_pytorch_keras_or_transformers",
]
TRAINERS = "tests/trainers"
# They start the platform as a user does, with its own database: on which one, each of them says itself.
OWN_DATABASE = [
    f"tests/recovery/test_{name}.py"
    for name in ("demo", "folding", "full_disk", "images", "ingest", "load", "model_types", "up")
]
# None of these has a test for the second run: to collect them takes seconds.
NOT_RUN_TWICE = [TRAINERS, "tests/recovery"]
PYTEST_NO_TESTS = 5
# The database is the part's own. And tests start processes by the hundred: what one has compiled the next ones read.
LEFT_OUT = {"DATABASE_URL", "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Part:
    name: str
    arguments: list[str]
    postgres: bool = False
    status: int = -1
    seconds: float = 0.0
    cpu_seconds: float = 0.0  # of all its processes: unlike the time, the same on a machine that does other things too
    counts: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """Parts that run one after the other, and others that do so beside them."""

    parts: list[Part]
    beside: list[Part] = field(default_factory=list)


def stages(*, full: bool) -> list[Stage]:
    """The whole suite; `full` adds what is marked as long, and all of it on PostgreSQL."""
    short = "" if full else " and not full"
    in_parallel = ["-n", PROCESSES, "-m", f"not recovery and not browser{short}"]
    once_more = ["-n", PROCESSES, "-m", f"database and not recovery and not browser{short}"]
    ignored = [f"--ignore={path}" for path in NOT_RUN_TWICE]
    if not full:
        ignored += [f"--ignore={path}" for path in ALIKE_ON_BOTH] + [f"--deselect={test}" for test in ONCE]
    recovering = ["-m", f"recovery{short}", *files_with("mark.recovery")]
    sqlite = Part("sqlite", [*in_parallel, f"--ignore={TRAINERS}"])
    postgres = Part("postgres", [*once_more, *ignored], postgres=True)
    by_file = ["--dist", "loadfile"]  # which start a platform for a whole file
    pages = Part("pages", ["-n", PROCESSES, *by_file, "-m", f"browser{short}", "tests/pages"])
    if full:
        trainers = Part("trainers", [*in_parallel, TRAINERS])
        recovery = Part("recovery", recovering)
        theirs = [part for part in recovering if part not in OWN_DATABASE]
        again = Part("recovery-postgres", theirs, postgres=True)
        return [Stage([sqlite, postgres, trainers, recovery, pages, again])]
    trainers = Part("trainers", ["-m", "not full", TRAINERS])
    recovery = Part("recovery", ["-n", RECOVERY_PROCESSES, *by_file, *recovering])
    return [Stage([sqlite, postgres], beside=[trainers, pages]), Stage([recovery])]


def files_with(text: str) -> list[str]:
    """The test files that have this in them: to collect all the others takes longer than many a test."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in files if text in path.read_text(encoding="utf-8")]


def run_stage(stage: Stage) -> None:
    """Run a stage's parts; what those beside them print comes when the others have ended."""
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        beside = [pool.submit(run, part, keep_output=True) for part in stage.beside]
        for part in stage.parts:
            print(headline(part), flush=True)
            run(part)
        for part, done in zip(stage.beside, beside, strict=True):
            output = done.result()
            print(headline(part), output.decode(errors="replace"), sep="\n", end="", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C ends the parts that run; none is to follow them


def headline(part: Part) -> str:
    return f"\n── {part.name} " + "─" * (100 - len(part.name))


def run(part: Part, *, keep_output: bool = False) -> bytes:
    """Run one part and read its counts from pytest's own report; its output, if that is kept and not passed through."""
    report = RESULTS / f"{part.name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", *part.arguments]
    if part.postgres:
        command = [sys.executable, str(ROOT / "scripts" / "with_postgres.py"), *command]
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    stdout, stderr = (subprocess.PIPE, subprocess.STDOUT) if keep_output else (None, None)
    started = time.monotonic()
    # What the tests leave behind goes with this folder. Others may pass through it: PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(prefix="automl-tests-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: S103 (passing through, not looking in)
        environment["TMPDIR"] = folder
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stdout, stderr=stderr) as process:
            output = process.stdout.read() if process.stdout else b""
            _, status, used = os.wait4(process.pid, 0)  # its own use of the processor, whatever runs beside it
            part.status = process.returncode = os.waitstatus_to_exitcode(status)
    part.seconds, part.cpu_seconds = time.monotonic() - started, used.ru_utime + used.ru_stime
    if report.exists():
        read_report(part, report)
    if part.status == PYTEST_NO_TESTS:
        print("No test was selected. Is the expression or the path right?", file=sys.stderr)
    return output


def read_report(part: Part, report: Path) -> None:
    cases = ElementTree.parse(report).getroot().iter("testcase")  # noqa: S314 (pytest wrote it)
    part.counts = {"passed": 0, "failed": 0, "skipped": 0}
    for case in cases:
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            part.counts["failed"] += 1
        elif skip is not None:
            part.counts["skipped"] += 1
            part.skipped.append(f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}")
        else:
            part.counts["passed"] += 1


def summarise(suite: list[Part]) -> int:
    """Print a line a part, every skipped test with its reason, and the sum; the exit status."""
    print("\n" + "─" * 104)
    for part in suite:
        counts = ", ".join(f"{number} {name}" for name, number in part.counts.items()) or "no report"
        verdict = "ok    " if part.status == 0 else f"FAILED (exit status {part.status})"
        print(f"{verdict} {part.name:<18} {counts}  {part.seconds:.0f} s ({part.cpu_seconds:.0f} s of processor)")
    for part in suite:
        for line in part.skipped:
            print(f"skipped in {part.name}: {line}")
    total = {name: sum(part.counts.get(name, 0) for part in suite) for name in ("passed", "failed", "skipped")}
    print(", ".join(f"{number} {name}" for name, number in total.items()), flush=True)
    return 0 if total["passed"] and all(part.status == 0 for part in suite) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the long tests too")
    parser.add_argument("--database", choices=["sqlite", "postgres"], help="run one part only, on this database")
    parser.add_argument("-k", dest="expression", help="run one part only: the tests whose names match")
    parser.add_argument("arguments", nargs="*", help="run one part only: arguments for pytest")
    options = parser.parse_args()
    if options.arguments or options.expression or options.database:
        selection = ["-k", options.expression] if options.expression else []
        chosen = Part("chosen", [*selection, *options.arguments], postgres=options.database == "postgres")
        suite = [Stage([chosen])]
    else:
        suite = stages(full=options.full)
    if options.full:
        os.environ["AUTOML_TESTS"] = "full"  # how many examples the property tests try
    RESULTS.mkdir(exist_ok=True)
    for stage in suite:
        run_stage(stage)
    return summarise([part for stage in suite for part in (*stage.parts, *stage.beside)])


if __name__ == "__main__":
    sys.exit(main())
