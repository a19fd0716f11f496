"""The Code tab of the comparison: bounded, escaped, and only of runs that one sees."""

import pytest

from tracking.services.environments import environment_set
from tracking.services.projects import project_create
from tracking.services.runs import run_create

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"


def patch(value: str) -> str:
    return f"diff --git a/{EVIL}.py b/{EVIL}.py\n@@ -1 +1 @@\n same\n+lr = {value}{EVIL}\n"


@pytest.fixture
def runs(user):
    project = project_create(owner=user, name="garden")
    return [run_create(project=project, name=f"rose {n}", config={}, tags=[]) for n in range(3)]


@pytest.fixture
def code(client, user, runs):
    client.force_login(user)

    def code(more=""):
        answer = client.get(f"/ui/compare/?runs={','.join(str(run.pk) for run in runs)}&tab=code{more}")
        assert answer.status_code == 200
        return answer

    return code


def test_without_code_the_tab_says_how_to_tell_it(code):
    assert "Nothing is known of their code" in code().content.decode()


@pytest.mark.parametrize("view", ["unified", "split"])
def test_changes_commits_and_packages_are_compared_as_text(code, runs, view, django_assert_max_num_queries):
    for run, value, commit in zip(runs, "12", ("aaa1", "bbb2"), strict=False):
        environment = {"packages": [f"torch=={value}", "numpy==1"], "command": EVIL}
        environment_set(run_id=run.pk, environment=environment, git={"commit": commit, "diff": patch(value)})
    with django_assert_max_num_queries(12):
        text = code(f"&view={view}").content.decode()
    assert EVIL not in text
    assert "changed differently" in text
    assert "+lr = 1&lt;script&gt;" in text
    assert "+lr = 2&lt;script&gt;" in text
    assert "git diff aaa1 bbb2" in text
    assert "1 differs; 1 is the same" in text


def test_any_two_of_the_runs_are_chosen_by_the_address(code, runs):
    found = code(f"&a={runs[2].pk}&b={runs[0].pk}").context
    assert (found["first"], found["second"]) == (runs[2], runs[0])
    for odd in ("&a=x", "&a=999999&b=", f"&a={runs[1].pk}&b={runs[1].pk}", "&view=none"):
        assert code(odd).context["first"] in runs


def test_one_run_alone_is_no_comparison(client, user, runs):
    client.force_login(user)
    answer = client.get(f"/ui/compare/?runs={runs[0].pk}&tab=code")
    assert "It takes two runs" in answer.content.decode()


def test_a_strangers_run_tells_nothing(client, runs, make_user):
    for run in runs:
        environment_set(run_id=run.pk, git={"commit": "secret1"})
    client.force_login(make_user("bob"))
    answer = client.get(f"/ui/compare/?runs={runs[0].pk},{runs[1].pk}&tab=code&a={runs[0].pk}")
    assert b"secret1" not in answer.content
