"""What a run was made with is kept beside it, bounded, and without secrets."""

import pytest

from automl_site.errors import InvalidSpec
from tracking.models import Run
from tracking.selectors.environments import environment_of
from tracking.services.environments import MAX_DIFF, MAX_ENVIRONMENT, environment_set, masked
from tracking.services.projects import project_create
from tracking.services.runs import run_create, run_update


@pytest.fixture
def project(user):
    return project_create(owner=user, name="garden")


@pytest.mark.django_db
def test_each_part_is_set_at_creation_or_later_and_replaces_what_was_there(user, project):
    run = run_create(project=project, name="rose", config={}, tags=[], environment={"python": "3.11"})
    assert environment_of(run) == {"environment": {"python": "3.11"}, "git": {}}
    run_update(user=user, run_id=run.pk, changes={"git": {"commit": "8f3c2d1", "dirty": True, "diff": "-a\n+b\n"}})
    run_update(user=user, run_id=run.pk, changes={"environment": {"host": "node-7"}})
    assert environment_of(run) == {
        "environment": {"host": "node-7"},
        "git": {"commit": "8f3c2d1", "dirty": True, "diff": "-a\n+b\n"},
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"environment": {"a": "x" * MAX_ENVIRONMENT}}, "environment"),
        ({"environment": {"a": "\0"}}, "environment"),
        ({"environment": {"a": float("nan")}}, "environment"),
        ({"git": {"diff": "é" * (MAX_DIFF // 2 + 1)}}, "git.diff"),
        ({"git": {"diff": "\0"}}, "git.diff"),
        ({"git": {"diff": 5}}, "git.diff"),
        ({"git": {"dirty": "yes"}}, "git.dirty"),
        ({"git": {"comit": "8f3c2d1"}}, "git.comit"),
        ({"git": {"branch": "x" * 100_000}}, "git"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_leaves_no_run(project, given, field):
    with pytest.raises(InvalidSpec) as refused:
        run_create(project=project, name="rose", config={}, tags=[], **given)
    assert list(refused.value.errors) == [field]
    assert not Run.objects.exists()


@pytest.mark.django_db
def test_a_diff_of_the_greatest_size_is_kept(project):
    run = run_create(project=project, name="rose", config={}, tags=[])
    environment_set(run_id=run.pk, git={"diff": "+" * MAX_DIFF})
    assert len(environment_of(run)["git"]["diff"]) == MAX_DIFF


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"API_KEY": "k", "n": 1}, {"API_KEY": "***", "n": 1}),
        ({"deep": {"db_password": ["a"]}}, {"deep": {"db_password": "***"}}),
        ({"hf_token": ""}, {"hf_token": ""}),
        ("train.py --api-key=abc --lr 1", "train.py --api-key=*** --lr 1"),
        ("train.py --token 'a b' --lr 1", "train.py --token *** --lr 1"),
        (["train.py", "--password", "abc", "--lr", "1"], ["train.py", "--password", "***", "--lr", "1"]),
        ("https://ann:secretword@example.com/x.git", "https://***@example.com/x.git"),
        ("git@example.com:ann/x.git", "git@example.com:ann/x.git"),
    ],
)
def test_what_looks_like_a_secret_is_masked(told, kept):
    assert masked(told) == kept
