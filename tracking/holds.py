"""What other apps have in a project: work that keeps it from going, and things to clear away when it goes for good.

They register when they are ready; this app knows nothing of them.
"""

from collections.abc import Callable, Sequence

from automl_site.errors import Conflict

# Called with run_ids and project_ids; a sentence that says what is in the way, or "".
Check = Callable[[Sequence[int], Sequence[int]], str]

# Called with a project's id, in the transaction that removes it for good, before its rows go.
Clearing = Callable[[int], None]

_checks: list[Check] = []
_clearings: list[Clearing] = []


def register(check: Check) -> None:
    """Ask `check` before a run or a project goes."""
    _checks.append(check)


def register_clearing(clearing: Clearing) -> None:
    """Call `clearing` before a project is removed for good."""
    _clearings.append(clearing)


def clear(project_id: int) -> None:
    """Let the other apps clear away what they have in the project."""
    for clearing in _clearings:
        clearing(project_id)


def refuse_if_held(*, run_ids: Sequence[int] = (), project_ids: Sequence[int] = ()) -> None:
    """Raises Conflict, in the words of the first check that has something in the way."""
    for check in _checks:
        sentence = check(run_ids, project_ids)
        if sentence:
            raise Conflict(sentence)
