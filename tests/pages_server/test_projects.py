"""The projects' pages without a browser: lists, the runs table's address, acts on runs and their undo, settings."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.pages_server.odd import with_odd_values
from tests.services.test_run_table import make_run
from tracking.models import Project, ProjectMember, Run, SavedView, User


@pytest.fixture
def project(user: User) -> Project:
    return Project.objects.create(owner=user, name="Grapes", description="which grape it is")


@pytest.fixture
def runs(project: Project) -> list[Run]:
    return [
        make_run(project, f"run {n}", config={"lr": 10.0**-n, "opt": "adam"}, tags=["even"] if n % 2 == 0 else [],
                 metrics={"loss": n / 4, "acc": 0.5}) for n in range(4)
    ]  # fmt: skip


def page(client: Client, project: Project, **parameters: Any) -> str:
    answer = client.get(f"/ui/projects/{project.pk}/", parameters)
    assert answer.status_code == 200
    return answer.content.decode()


def act(client: Client, project: Project, action: str, runs: list[Run], **more: Any) -> str:
    data = {"action": action, "run": [run.pk for run in runs], **more}
    answer = client.post(f"/ui/projects/{project.pk}/runs/", data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


# --- The list ---------------------------------------------------------------------------------------------------------


def test_the_list_shows_own_and_shared_projects_and_finds_by_name(
    signed_in: Client, user: User, project: Project, make_user: Callable[..., User]
) -> None:
    bob = make_user("bob")
    shared = Project.objects.create(owner=bob, name="Shared")
    ProjectMember.objects.create(project=shared, user=user)
    Project.objects.create(owner=bob, name="Hidden")
    Project.objects.create(owner=bob, name="Public elsewhere", is_public=True)
    listed = signed_in.get("/ui/projects/").content.decode()
    assert "Grapes" in listed and "Shared" in listed
    assert "Hidden" not in listed and "Public elsewhere" not in listed
    found = signed_in.get("/ui/projects/?q=grap").content.decode()
    assert "Grapes" in found and "Shared" not in found


def test_a_newcomer_is_offered_the_command_that_makes_a_project(signed_in: Client) -> None:
    answer = signed_in.get("/ui/projects/").content.decode()
    assert "No projects yet" in answer and "curl -X POST http://testserver/projects/" in answer


def test_a_project_is_made_by_its_form_and_what_is_wrong_stands_at_the_field(signed_in: Client, user: User) -> None:
    answer = signed_in.post("/ui/projects/new/", {"name": "Wine", "description": "d", "is_public": "on"})
    made = Project.objects.get(name="Wine")
    assert answer["Location"] == f"/ui/projects/{made.pk}/"
    assert (made.owner, made.is_public) == (user, True)
    refused = signed_in.post("/ui/projects/new/", {"name": " ", "description": "kept"})
    assert refused.status_code == 422
    assert "This field is required" in refused.content.decode() and "kept" in refused.content.decode()


# --- The table --------------------------------------------------------------------------------------------------------


def test_the_table_shows_the_runs_with_their_most_frequent_metrics(
    signed_in: Client, project: Project, runs: list[Run]
) -> None:
    shown = page(signed_in, project)
    assert all(run.name in shown for run in runs)
    assert "?sort=metrics.loss.last" in shown and "?sort=metrics.acc.last" in shown


def test_the_address_holds_filter_columns_order_and_page(signed_in: Client, project: Project, runs: list[Run]) -> None:
    shown = page(
        signed_in, project, filter="metrics.loss > 0", column=["config.lr", "metrics.loss.min"], sort="config.lr"
    )
    positions = [shown.index(f"(run {run.pk})") for run in (runs[3], runs[2], runs[1])]
    assert positions == sorted(positions)
    assert f"(run {runs[0].pk})" not in shown
    assert 'value="metrics.loss &gt; 0"' in shown and "loss (min)" in shown


def test_a_filter_that_cannot_be_read_is_marked_at_its_place(
    signed_in: Client, project: Project, runs: list[Run]
) -> None:
    shown = page(signed_in, project, filter="metrics.loss > 0 and statsu = <b>")
    assert "Character 22: There is no field “statsu”. Did you mean “status”?" in shown
    assert "metrics.loss &gt; 0 and <mark>statsu</mark> = &lt;b&gt;" in shown
    assert "run 3" not in shown


def test_a_name_that_no_run_has_is_told_with_the_nearest(signed_in: Client, project: Project, runs: list[Run]) -> None:
    shown = page(signed_in, project, filter="metrics.los < 1 or config.lr = 1 or config.zzz = 1")
    assert (
        "None of the newest runs has <code>metrics.los</code>. Did you mean <code>metrics.loss</code>?"
        in shown.replace("\n", "")
    )
    assert "None of the newest runs has <code>config.zzz</code>." in shown


def test_groups_link_to_their_runs(signed_in: Client, project: Project, runs: list[Run]) -> None:
    shown = page(signed_in, project, group="config.opt", filter="metrics.loss > 0", column="metrics.loss")
    assert "0.5" in shown and "± 0.25" in shown
    assert "filter=%28metrics.loss+%3E+0%29+and+config.opt+%3D+%22adam%22" in shown


def test_the_table_alone_is_sent_again_only_when_something_changed(
    signed_in: Client, project: Project, runs: list[Run]
) -> None:
    first = signed_in.get(f"/ui/projects/{project.pk}/?column=status", headers={"HX-Request": "true"})
    assert b"<html" not in first.content
    seen = first.context["seen"]
    again = {"column": "status", "seen": seen}
    assert signed_in.get(f"/ui/projects/{project.pk}/", again, headers={"HX-Request": "true"}).status_code == 204
    Run.objects.filter(pk=runs[0].pk).update(status="failed")
    changed = signed_in.get(f"/ui/projects/{project.pk}/", again, headers={"HX-Request": "true"})
    assert changed.status_code == 200
    assert b"Failed" in changed.content and b"seen=" + seen.encode() not in changed.content


def test_the_table_is_a_csv_file_with_its_columns_in_its_order(
    signed_in: Client, project: Project, runs: list[Run]
) -> None:
    make_run(project, "=cmd()", config={"lr": [1, "a"]})
    query = {"column": ["config.lr", "metrics.loss", "tags"], "sort": "name"}
    answer = signed_in.get(f"/ui/projects/{project.pk}/runs.csv", query)
    rows = list(csv.reader(io.StringIO(b"".join(answer).decode())))
    assert rows[0] == ["id", "name", "config.lr", "metrics.loss.last", "tags"]
    assert rows[1][1:3] == ["'=cmd()", '[1, "a"]']
    assert rows[2] == [str(runs[0].pk), "run 0", "1.0", "0.0", '["even"]']
    refused = signed_in.get(f"/ui/projects/{project.pk}/runs.csv?filter=nonsense")
    assert refused.status_code in (400, 422)


def test_the_completion_knows_the_projects_names(signed_in: Client, project: Project, runs: list[Run]) -> None:
    answer = signed_in.get(f"/ui/projects/{project.pk}/complete.json", {"text": "config.o", "caret": "8"}).json()
    assert answer == {"start": 0, "end": 8, "suggestions": [{"text": "config.opt", "detail": "config"}]}
    values = signed_in.get(f"/ui/projects/{project.pk}/complete.json", {"text": "config.opt = "}).json()
    assert [one["text"] for one in values["suggestions"]] == ['"adam"']


# --- Acts on runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "more", "changed", "before", "after"),
    [
        ("archive", {}, lambda run: run.archived_at is not None, False, True),
        ("trash", {}, lambda run: run.deleted_at is not None, False, True),
        ("tag", {"tag": " best "}, lambda run: "best" in run.tags, False, True),
        ("untag", {"tag": "even"}, lambda run: "even" in run.tags, True, False),
    ],
)
def test_an_act_on_runs_is_done_and_taken_back(
    signed_in: Client, project: Project, runs: list[Run], action: str, more: Any, changed: Any, before: Any, after: Any
) -> None:
    chosen = [runs[0], runs[2]]
    next_address = "filter=metrics.loss+%3C+9&column=status"
    shown = act(signed_in, project, action, chosen, next=next_address, **more)
    assert [changed(Run.objects.get(pk=run.pk)) for run in chosen] == [after, after]
    assert "2 runs are" in shown and ">Undo<" in shown
    undo = signed_in.session["runs-undo"]
    inverse = act(signed_in, project, undo["action"], chosen, next=next_address, tag=undo["tag"])
    assert [changed(Run.objects.get(pk=run.pk)) for run in chosen] == [before, before]
    assert 'value="metrics.loss &lt; 9"' in inverse


def test_the_trash_shows_what_was_thrown_away_and_deletes_it_for_good(
    signed_in: Client, project: Project, runs: list[Run]
) -> None:
    act(signed_in, project, "trash", runs[:2])
    assert "run 0" not in page(signed_in, project) and "run 0" in page(signed_in, project, trash="1")
    signed_in.post(f"/ui/projects/{project.pk}/empty-trash/")
    assert Run.objects.filter(project=project).count() == 2


def test_only_runs_of_this_project_that_one_may_change_are_touched(
    signed_in: Client, project: Project, user: User, make_user: Callable[..., User]
) -> None:
    bobs = Project.objects.create(owner=make_user("bob"), name="bob's")
    hidden = make_run(bobs, "hidden")
    assert "Choose runs first" in act(signed_in, project, "trash", [hidden])
    ProjectMember.objects.create(project=bobs, user=user, role="viewer")
    assert "Not enough permissions" in act(signed_in, bobs, "trash", [hidden])
    hidden.refresh_from_db()
    assert hidden.deleted_at is None
    assert 'value="trash"' not in page(signed_in, bobs)


def test_chosen_runs_are_compared_also_by_who_may_only_read(
    signed_in: Client, project: Project, runs: list[Run], user: User, make_user: Callable[..., User]
) -> None:
    Project.objects.filter(pk=project.pk).update(owner=make_user("bob"))
    ProjectMember.objects.create(project=project, user=user, role="viewer")
    assert 'value="compare"' in page(signed_in, project)
    chosen = {"action": "compare", "run": [runs[0].pk, runs[2].pk]}
    answer = signed_in.post(f"/ui/projects/{project.pk}/runs/", chosen)
    assert answer["Location"] == f"/ui/compare/?runs={runs[0].pk},{runs[2].pk}"


@pytest.mark.parametrize(
    "data", [{}, {"run": "x"}, {"run": "9" * 30}, {"run": "²", "action": "trash"}, {"action": "?"}]
)
def test_a_bulk_act_that_makes_no_sense_changes_nothing(
    signed_in: Client, project: Project, runs: list[Run], data: dict[str, str]
) -> None:
    answer = signed_in.post(f"/ui/projects/{project.pk}/runs/", data, follow=True)
    assert answer.status_code == 200
    assert Run.objects.live().filter(archived_at__isnull=True).count() == 4


def test_a_tag_that_cannot_be_kept_is_refused_in_words(signed_in: Client, project: Project, runs: list[Run]) -> None:
    assert "Write the tag first" in act(signed_in, project, "tag", runs, tag="  ")
    assert "1 to 100 characters" in act(signed_in, project, "tag", runs, tag="x" * 101)


# --- Views ------------------------------------------------------------------------------------------------------------


def test_a_view_keeps_the_tables_address_and_is_shared_if_asked(
    signed_in: Client, client: Client, user: User, project: Project, make_user: Callable[..., User]
) -> None:
    bob = make_user("bob")
    ProjectMember.objects.create(project=project, user=bob, role="viewer")
    address = "filter=status+%3D+failed&column=config.lr&sort=-config.lr"
    for name, shared in (("Failures", "1"), ("Mine", "")):
        data = {"name": name, "shared": shared, "next": f"{address}&page=3&nonsense=1"}
        signed_in.post(f"/ui/projects/{project.pk}/views/", data)
    assert set(SavedView.objects.values_list("address", flat=True)) == {address}
    bobs = Client()
    bobs.force_login(bob)
    shown = page(bobs, project)
    assert "Failures" in shown and "Mine" not in shown
    view = SavedView.objects.get(name="Failures")
    refused = bobs.post(f"/ui/projects/{project.pk}/views/{view.pk}/delete/", follow=True).content.decode()
    assert "another member" in refused
    bobs.post(f"/ui/projects/{project.pk}/views/", {"name": "x", "shared": "1"})
    assert not SavedView.objects.filter(owner=bob).exists()
    signed_in.post(f"/ui/projects/{project.pk}/views/{view.pk}/delete/")
    assert list(SavedView.objects.values_list("name", flat=True)) == ["Mine"]


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_an_owner_renames_shares_and_deletes_a_project_by_typing_its_name(signed_in: Client, project: Project) -> None:
    settings = f"/ui/projects/{project.pk}/settings/"
    signed_in.post(settings, {"name": "Wine", "description": "new", "is_public": "on"})
    project.refresh_from_db()
    assert (project.name, project.description, project.is_public) == ("Wine", "new", True)
    refused = signed_in.post(f"/ui/projects/{project.pk}/trash/", {"confirm": "wine"})
    assert refused.status_code == 422 and "Type the name as it is: Wine" in refused.content.decode()
    signed_in.post(f"/ui/projects/{project.pk}/trash/", {"confirm": "Wine"})
    assert signed_in.get(f"/ui/projects/{project.pk}/").status_code == 404
    assert "Wine" in signed_in.get("/ui/projects/?trash=1").content.decode()
    signed_in.post(f"/ui/projects/{project.pk}/restore/")
    assert "Wine" in page(signed_in, project)


def test_members_are_added_by_name_change_role_and_leave(
    signed_in: Client, project: Project, make_user: Callable[..., User]
) -> None:
    bob = make_user("bob")
    members = f"/ui/projects/{project.pk}/members/"
    refused = signed_in.post(members, {"username": "nobody<", "role": "editor"})
    assert refused.status_code == 422
    assert "There is no user &#x27;nobody&lt;&#x27;" in refused.content.decode()
    signed_in.post(members, {"username": "bob", "role": "viewer"})
    signed_in.post(f"{members}{bob.pk}/", {"role": "editor"})
    assert ProjectMember.objects.get(user=bob).role == "editor"
    bobs = Client()
    bobs.force_login(bob)
    shown = bobs.get(f"/ui/projects/{project.pk}/settings/").content.decode()
    assert "Leave" in shown and "Delete the project" not in shown
    assert bobs.post(f"{members}{bob.pk}/", {"remove": "1"})["Location"] == "/ui/projects/"
    assert not ProjectMember.objects.exists()


def test_somebody_elses_project_is_not_there(
    signed_in: Client, make_user: Callable[..., User], project: Project
) -> None:
    hidden = Project.objects.create(owner=make_user("bob"), name="hidden")
    base = f"/ui/projects/{hidden.pk}/"
    for path in ("", "complete.json", "runs.csv", "settings/"):
        assert signed_in.get(f"{base}{path}").status_code == 404, path
    for path in ("runs/", "empty-trash/", "views/", "views/1/delete/", "members/", "members/1/", "trash/", "restore/"):
        assert signed_in.post(f"{base}{path}", {"run": "1", "confirm": "hidden"}).status_code == 404, path
        assert signed_in.get(f"{base}{path}").status_code == 405, path


def test_strangers_are_asked_to_sign_in(client: Client, project: Project) -> None:
    for path in ("", f"{project.pk}/", f"{project.pk}/runs.csv", f"{project.pk}/settings/", "new/"):
        assert client.get(f"/ui/projects/{path}")["Location"] == f"/login?next=/ui/projects/{path}"


def test_the_page_takes_as_few_queries_for_thirty_runs_as_for_three(
    signed_in: Client, project: Project, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        make_run(project, f"run {number}", config={"lr": number}, metrics={"loss": 1.0})
    page(signed_in, project)
    with django_assert_max_num_queries(12):
        page(signed_in, project, filter="metrics.loss < 2", sort="-config.lr")


@with_odd_values
@pytest.mark.parametrize("name", ["filter", "column", "sort", "group", "archived", "trash", "page", "undo", "seen"])
def test_no_odd_value_in_the_address_is_a_failure(
    signed_in: Client, project: Project, runs: list[Run], name: str, values: tuple[str, ...]
) -> None:
    for value in values:
        query = {name: value.encode(errors="surrogatepass")}
        assert signed_in.get(f"/ui/projects/{project.pk}/", query).status_code == 200, value


@with_odd_values
@pytest.mark.parametrize(("path", "name"), [("", "q"), ("", "page"), ("csv", "filter"), ("csv", "column")])
def test_no_odd_value_is_a_failure_of_the_list_or_of_the_file(
    signed_in: Client, project: Project, runs: list[Run], path: str, name: str, values: tuple[str, ...]
) -> None:
    address = f"/ui/projects/{project.pk}/runs.csv" if path == "csv" else "/ui/projects/"
    for value in values:
        answer = signed_in.get(address, {name: value.encode(errors="surrogatepass")})
        assert answer.status_code in ((200, 400, 422) if path == "csv" else (200,)), value


@with_odd_values
@pytest.mark.parametrize("name", ["text", "caret"])
def test_no_odd_question_to_the_completion_is_a_failure(
    signed_in: Client, project: Project, runs: list[Run], name: str, values: tuple[str, ...]
) -> None:
    for value in values:
        query = {name: value.encode(errors="surrogatepass")}
        assert signed_in.get(f"/ui/projects/{project.pk}/complete.json", query).status_code == 200, value


@with_odd_values
@pytest.mark.parametrize(
    ("path", "name"),
    [
        *[("runs", name) for name in ("run", "action", "tag", "next")],
        *[("views", name) for name in ("name", "next")],
        *[("members", name) for name in ("username", "role")],
        ("trash", "confirm"),
        ("settings", "name"),
    ],
)
def test_no_odd_value_in_a_form_is_a_failure(
    signed_in: Client, project: Project, runs: list[Run], path: str, name: str, values: tuple[str, ...]
) -> None:
    form = {"action": "tag", "run": [runs[0].pk], "tag": "t", "name": "n", "username": "ann", "role": "viewer"}
    for value in values:
        data = form | {name: value.encode(errors="surrogatepass")}
        answer = signed_in.post(f"/ui/projects/{project.pk}/{path}/", data)
        assert answer.status_code in (200, 302, 400, 422), value


def test_what_is_shown_is_text(signed_in: Client, project: Project) -> None:
    evil = "<img src=x onerror=alert(1)>"
    make_run(project, evil, config={evil: evil, "list": [evil]}, tags=[evil], metrics={evil: 1.0})
    query = {"column": [f'config."{evil}"', "config.list", f'metrics."{evil}"', "tags"]}
    for more in ({}, {"group": f'config."{evil}"'}, {"filter": evil}, {"sort": evil}):
        shown = page(signed_in, project, **query, **more)
        assert "<img src=x" not in shown
        assert "&lt;img" in shown
    answer = signed_in.get(f"/ui/projects/{project.pk}/complete.json", {"text": "tags has "})
    assert answer["Content-Type"] == "application/json" and evil in json.dumps(answer.json())
