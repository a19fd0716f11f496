"""What tells the code of two runs apart: commits, changes that were not committed, packages. Nothing of it is run.

All of it comes from clients, so it may be anything that JSON can hold; what is not as expected is left out.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracking.models import Run

MAX_FILES = 200  # of the changes that a page shows
MAX_LINES = 1500  # of a file's changes in a run; longer ones are not compared line by line
MAX_LINES_SHOWN = 6000  # of all files together
MAX_LINE = 1000  # characters
MAX_PACKAGES = 5000
MAX_FACT = 500  # characters
CONTEXT = 3  # lines that are the same, shown around those that differ
FACTS = (
    ("Commit", "git", "commit"),
    ("Branch", "git", "branch"),
    ("Origin", "git", "origin"),
    ("Uncommitted changes", "git", "dirty"),
    ("Python", "environment", "python"),
    ("Platform", "environment", "platform"),
    ("Host", "environment", "host"),
    ("Command", "environment", "command"),
)


@dataclass(frozen=True)
class Code:
    """What is known of the code of a run."""

    environment: Mapping[str, Any]
    git: Mapping[str, Any]

    @property
    def is_known(self) -> bool:
        return bool(self.environment or self.git)

    @property
    def commit(self) -> str:
        return _text(self.git.get("commit"))

    @property
    def diff(self) -> str:
        diff = self.git.get("diff")
        return diff if isinstance(diff, str) else ""

    @property
    def is_cut(self) -> bool:
        return self.git.get("diff_truncated") is True


@dataclass(frozen=True)
class Fact:
    """A line of the comparison; "" where a run does not tell it."""

    label: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        return self.first != self.second


@dataclass(frozen=True)
class Line:
    """A line of the comparison of two changes. `kind`: same, first (only there), second, or gap (lines left out)."""

    kind: str
    text: str = ""


@dataclass(frozen=True)
class Row:
    """The two sides of a line; None where a side has none. `kind` as of Line, or changed (both, and different)."""

    kind: str
    first: str | None
    second: str | None


@dataclass(frozen=True)
class FileChange:
    """A file that at least one run has changed. `state`: same, first (only that one changed it), second, differs."""

    path: str
    state: str
    lines: Sequence[Line] = ()
    note: str = ""

    @property
    def rows(self) -> list[Row]:
        """The lines side by side."""
        return list(_side_by_side(self.lines))


@dataclass(frozen=True)
class PackageChange:
    """A package whose version differs; "" where a run has none of it."""

    name: str
    first: str
    second: str


def codes_of(runs: Sequence["Run"]) -> dict[int, Code]:
    """By run id; for every run one. The caller has checked who may see them."""
    from tracking.models import RunEnvironment

    rows = RunEnvironment.objects.filter(run_id__in=[run.pk for run in runs])
    known = {run_id: Code(_mapping(environment), _mapping(git)) for run_id, environment, git in
             rows.values_list("run_id", "environment", "git")}  # fmt: skip
    return {run.pk: known.get(run.pk, Code({}, {})) for run in runs}


def facts(first: Code, second: Code) -> list[Fact]:
    """Those of FACTS that at least one of them tells."""
    found = []
    for label, source, name in FACTS:
        values = [_text(getattr(code, source).get(name)) for code in (first, second)]
        if any(values):
            found.append(Fact(label, *values))
    return found


def package_changes(first: Code, second: Code) -> tuple[list[PackageChange], int]:
    """Packages with other versions, or that only one has, by name; and how many are the same."""
    left, right = packages_of(first.environment), packages_of(second.environment)
    names = sorted({*left, *right})
    changes = [PackageChange(name, left.get(name, ""), right.get(name, "")) for name in names]
    differing = [change for change in changes if change.first != change.second]
    return differing, len(changes) - len(differing)


def file_changes(first: Code, second: Code) -> tuple[list[FileChange], int]:
    """The files that were changed and not committed, those that differ first; how many more there are than MAX_FILES.

    What is compared is the text of the changes: where both began from the same commit, that is the code.
    """
    left, right = _sections(first.diff), _sections(second.diff)
    paths = sorted({*left, *right}, key=lambda path: (left.get(path) == right.get(path), path))
    budget = MAX_LINES_SHOWN
    found = []
    for path in paths[:MAX_FILES]:
        change = _compared(path, left.get(path), right.get(path))
        if len(change.lines) > budget:
            change = FileChange(path, change.state, note="Too much differs to show this file too: see the runs' pages.")
        budget -= len(change.lines)
        found.append(change)
    return found, max(len(paths) - MAX_FILES, 0)


def _compared(path: str, first: list[str] | None, second: list[str] | None) -> FileChange:
    if first == second:
        return FileChange(path, "same")
    for state, lines in (("first", first), ("second", second)):
        if (second if state == "first" else first) is None and lines is not None:
            note = f"The first {MAX_LINES:,} of {len(lines):,} lines." if len(lines) > MAX_LINES else ""
            return FileChange(path, state, [Line(state, _cut(line)) for line in lines[:MAX_LINES]], note)
    assert first is not None and second is not None  # noqa: S101 - the cases are told apart above
    if max(len(first), len(second)) > MAX_LINES:
        return FileChange(path, "differs", note=f"Changes of more than {MAX_LINES:,} lines are not compared here.")
    return FileChange(path, "differs", list(_lines(first, second)))


def _lines(first: Sequence[str], second: Sequence[str]) -> Iterator[Line]:
    for number, group in enumerate(difflib.SequenceMatcher(None, first, second).get_grouped_opcodes(CONTEXT)):
        if number:
            yield Line("gap")
        for tag, start, end, second_start, second_end in group:
            if tag == "equal":
                yield from (Line("same", _cut(line)) for line in first[start:end])
            else:
                yield from (Line("first", _cut(line)) for line in first[start:end])
                yield from (Line("second", _cut(line)) for line in second[second_start:second_end])


def _side_by_side(lines: Sequence[Line]) -> Iterator[Row]:
    waiting: dict[str, list[str]] = {"first": [], "second": []}

    def paired() -> Iterator[Row]:
        left, right = waiting["first"], waiting["second"]
        for place in range(max(len(left), len(right))):
            pair = (left[place] if place < len(left) else None, right[place] if place < len(right) else None)
            kind = "changed" if None not in pair else "first" if pair[1] is None else "second"
            yield Row(kind, *pair)
        left.clear()
        right.clear()

    for line in lines:
        if line.kind in waiting:
            waiting[line.kind].append(line.text)
            continue
        yield from paired()
        yield Row(line.kind, line.text, line.text)
    yield from paired()


def _sections(diff: str) -> dict[str, list[str]]:
    """The lines of a `git diff` by file, without what differs although the code does not."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in diff.split("\n"):
        if line.startswith("diff --git "):
            path = line.rpartition(" b/")[2].rstrip().strip('"') or line[11:]
            lines = found.setdefault(path, [])
        elif not line.startswith(("index ", "--- ", "+++ ")) or (lines and lines[-1].startswith(("+", "-", " ", "@@"))):
            lines.append(line.removesuffix("\r"))
    for kept in found.values():
        while kept and not kept[-1]:
            kept.pop()
    return found


def packages_of(environment: Mapping[str, Any]) -> dict[str, str]:
    """Version by name in lower case, from ["name==version", …] or {"name": "version"}; the first 5,000."""
    packages = environment.get("packages")
    if isinstance(packages, Mapping):
        pairs = [(name, _text(version)) for name, version in packages.items()]
    elif isinstance(packages, list):
        split = [text.partition("==") for text in packages if isinstance(text, str)]
        pairs = [(name, version or "?") for name, _, version in split]
    else:
        return {}
    return {_cut(name.strip().lower().replace("_", "-")): _cut(version) for name, version in pairs[:MAX_PACKAGES]}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:MAX_FACT] if isinstance(value, str | int | float) else ""


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}…"
