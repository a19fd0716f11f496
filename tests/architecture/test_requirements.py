"""What is installed is what the requirement files say, exactly."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.lock import LEFT_OUT, VARYING

FOLDER = Path(__file__).resolve().parent.parent.parent / "requirements"
PARTS = sorted(path for path in FOLDER.glob("*.txt") if path.name != "constraints.txt")

# Go into environments of their own: constraints.txt binds them where both name a package, and lists no more of them.
APART = ("client-loops.txt", "worker-tensorflow.txt", "worker-torch-2.0.txt", "worker-torch-2.1.txt")


def requirements(path: Path) -> list[str]:
    lines = (line.partition(" #")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


CONSTRAINTS = {
    canonicalize_name(name): version
    for name, _, version in (line.partition("==") for line in requirements(FOLDER / "constraints.txt"))
}


def top_level(path: Path) -> Iterator[Requirement]:
    for line in requirements(path):
        if line.startswith("-r "):
            yield from top_level(path.parent / line.removeprefix("-r ").strip())
        else:
            yield Requirement(line)


def installed_closure(roots: list[Requirement]) -> dict[str, str]:
    """Name and installed version of everything that `roots` bring in on this machine."""
    found: dict[str, str] = {}
    visited: set[tuple[str, str]] = set()
    queue = [(root.name, extra) for root in roots for extra in ("", *root.extras)]
    while queue:
        name, extra = queue.pop()
        if (key := (canonicalize_name(name), extra)) in visited:
            continue
        visited.add(key)
        distribution = metadata.distribution(name)
        found[canonicalize_name(name)] = distribution.version
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                queue += [(requirement.name, wanted) for wanted in ("", *requirement.extras)]
    return found


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_to_one_version(path: Path) -> None:
    loose = [line for line in requirements(path) if not line.startswith("-r ") and not re.search(r"==[\w.]+$", line)]
    assert not loose


def test_constraints_pin_everything_that_is_installed_here() -> None:
    installed = installed_closure(list(top_level(FOLDER / "dev.txt")))
    wrong = {
        name: f"{version} installed, {CONSTRAINTS.get(name, 'nothing')} in constraints.txt"
        for name, version in installed.items()
        if not LEFT_OUT.fullmatch(name) and CONSTRAINTS.get(name) != version
    }
    assert not wrong, "run `make lock`, or `make setup` if the requirements are newer than this environment"


def test_what_varies_between_workers_is_pinned_by_the_requirement_files() -> None:
    roots = list(top_level(FOLDER / "dev.txt"))
    brought_in = {name for name in installed_closure(roots) if VARYING.fullmatch(name)}
    assert brought_in == {name for name in (canonicalize_name(root.name) for root in roots) if VARYING.fullmatch(name)}


@pytest.mark.parametrize("name", APART)
def test_an_environment_of_its_own_asks_for_nothing_that_the_constraints_forbid(name: str) -> None:
    pinned = {canonicalize_name(each.name): str(each.specifier) for each in top_level(FOLDER / name)}
    assert {key: pin for key, pin in pinned.items() if key in CONSTRAINTS and pin != f"=={CONSTRAINTS[key]}"} == {}


def test_constraints_agree_with_the_requirement_files() -> None:
    pinned = {
        canonicalize_name(r.name): str(r.specifier) for path in PARTS for r in top_level(path) if path.name not in APART
    }
    assert {
        name: specifier
        for name, specifier in pinned.items()
        if not LEFT_OUT.fullmatch(name) and f"=={CONSTRAINTS.get(name)}" != specifier
    } == {}


def test_constraints_bind_no_machine_to_one_build_or_index() -> None:
    text = (FOLDER / "constraints.txt").read_text()
    assert not re.search(r"://|\+cpu|\+cu\d|--(extra-)?index|--find-links|@ ", text)
    assert not [name for name in CONSTRAINTS if LEFT_OUT.fullmatch(name)]
