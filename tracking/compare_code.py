"""The Code tab of the comparison: two of its runs, their commits, uncommitted changes and packages."""

import shlex
from typing import Any

from django.http import HttpRequest

from tracking.models import Run
from tracking.selectors import code_changes

VIEWS = {"unified": "one below the other", "split": "side by side"}


def code_tab(request: HttpRequest, runs: list[Run], statistic: str) -> dict[str, Any]:
    """`?a=1&b=2` of the compared runs, the first two by default; `view=split`."""
    if len(runs) < 2:
        return {"code_why_none": "It takes two runs; choose another one beside this."}
    first = _chosen(request, "a", runs, runs[0])
    second = _chosen(request, "b", runs, next(run for run in runs if run != first))
    codes = code_changes.codes_of([first, second])
    left, right = codes[first.pk], codes[second.pk]
    view = request.GET.get("view", "")
    files, files_left_out = code_changes.file_changes(left, right)
    packages, same_packages = code_changes.package_changes(left, right)
    return {
        "first": first,
        "second": second,
        "code_known": left.is_known or right.is_known,
        "unknown": [run for run in (first, second) if not codes[run.pk].is_known],
        "facts": code_changes.facts(left, right),
        "git_diff": _git_diff(left.commit, right.commit),
        "same_commit": bool(left.commit) and left.commit == right.commit,
        "cut": [run for run in (first, second) if codes[run.pk].is_cut],
        "files": files,
        "files_left_out": files_left_out,
        "packages": packages,
        "same_packages": same_packages,
        "view": view if view in VIEWS else "unified",
        "views": VIEWS,
    }


def _chosen(request: HttpRequest, name: str, runs: list[Run], default: Run) -> Run:
    return next((run for run in runs if str(run.pk) == request.GET.get(name)), default)


def _git_diff(first: str, second: str) -> str:
    """What shows the committed differences, where there are any."""
    return f"git diff {shlex.quote(first)} {shlex.quote(second)}" if first and second and first != second else ""
