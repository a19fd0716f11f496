"""What keeps a run or a project from going: work of another app that is still being done in it.

Other apps register a check when they are ready; this one knows nothing of them.
"""

from collections.abc import Callable, Sequence

from automl_site.errors import Conflict

# Called with run_ids and project_ids; a sentence that says what is in the way, or "".
Check = Callable[[Sequence[int], Sequence[int]], str]

_checks: list[Check] = []


def register(check: Check) -> None:
    """Ask `check` before a run or a project goes."""
    _checks.append(check)


def refuse_if_held(*, run_ids: Sequence[int] = (), project_ids: Sequence[int] = ()) -> None:
    """Raises Conflict, in the words of the first check that has something in the way."""
    for check in _checks:
        sentence = check(run_ids, project_ids)
        if sentence:
            raise Conflict(sentence)
