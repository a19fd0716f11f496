"""One act on several runs, each by the service that does it to one: what holds for one holds for all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from automl_site.errors import DomainError, InvalidSpec
from tracking.models import Run, User
from tracking.querysets import RunQuerySet
from tracking.services.runs import run_update
from tracking.services.trash import run_delete_forever, run_restore, run_trash

MAX_RUNS = 200


@dataclass
class Outcome:
    """`changed`: ids of the runs that are different now. `refused`: why others are not, each sentence once."""

    changed: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def runs_archive(*, user: User, run_ids: Sequence[int], archived: bool = True) -> Outcome:
    """Archive runs, or take them back. Raises InvalidSpec for more than MAX_RUNS."""

    def archive(run: Run) -> None:
        run_update(user=user, run_id=run.pk, changes={"archived": archived})

    unlike = Run.objects.filter(archived_at__isnull=archived)
    return _each(user, run_ids, set(unlike.filter(pk__in=run_ids).values_list("pk", flat=True)), archive)


def runs_tag(*, user: User, run_ids: Sequence[int], tag: str) -> Outcome:
    """Give runs a tag; those that have it already stay as they are. Raises InvalidSpec: the tag, or too many runs."""
    tag = _named(tag)

    def add(run: Run) -> None:
        run_update(user=user, run_id=run.pk, changes={"tags": [*run.tags, tag]})

    return _each(user, run_ids, {run.pk for run in _runs(run_ids) if tag not in run.tags}, add)


def runs_untag(*, user: User, run_ids: Sequence[int], tag: str) -> Outcome:
    """Take a tag from runs. Raises InvalidSpec: the tag, or too many runs."""
    tag = _named(tag)

    def take(run: Run) -> None:
        run_update(user=user, run_id=run.pk, changes={"tags": [one for one in run.tags if one != tag]})

    return _each(user, run_ids, {run.pk for run in _runs(run_ids) if tag in run.tags}, take)


def runs_trash(*, user: User, run_ids: Sequence[int]) -> Outcome:
    """Put runs into the trash; one whose job is alive is refused. Raises InvalidSpec for more than MAX_RUNS."""
    return _each(user, run_ids, set(run_ids), lambda run: run_trash(user=user, run_id=run.pk))


def runs_restore(*, user: User, run_ids: Sequence[int]) -> Outcome:
    """Take runs out of the trash. Raises InvalidSpec for more than MAX_RUNS."""
    return _each(user, run_ids, set(run_ids), lambda run: run_restore(user=user, run_id=run.pk))


def runs_delete_forever(*, user: User, run_ids: Sequence[int]) -> Outcome:
    """Delete runs that lie in the trash, for good. Raises InvalidSpec for more than MAX_RUNS."""
    return _each(user, run_ids, set(run_ids), lambda run: run_delete_forever(user=user, run_id=run.pk))


def _each(user: User, run_ids: Sequence[int], wanted: set[int], act: Callable[[Run], object]) -> Outcome:
    """Each run by itself, so that one that is refused does not keep the others from changing."""
    if len(run_ids) > MAX_RUNS:
        raise InvalidSpec(f"At most {MAX_RUNS} runs at once, not {len(run_ids):,}.")
    outcome = Outcome()
    for run in _runs(run_ids).visible_to(user):
        if run.pk not in wanted:
            continue
        try:
            act(run)
            outcome.changed.append(run.pk)
        except DomainError as error:
            sentence = error.first_sentence() if isinstance(error, InvalidSpec) else error.message
            if sentence not in outcome.refused:
                outcome.refused.append(sentence)
    return outcome


def _runs(run_ids: Sequence[int]) -> RunQuerySet:
    return Run.objects.filter(pk__in=list(run_ids)).only("pk", "tags", "project_id").order_by("pk")


def _named(tag: str) -> str:
    tag = tag.strip()
    if not tag:
        raise InvalidSpec(errors={"tag": ["Write the tag first."]})
    return tag
