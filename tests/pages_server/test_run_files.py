"""A run's page: its files and what it was made with, as text that no browser takes for markup."""

import io
import zipfile

import pytest
from django.db import transaction

from datasets_app.storage import get_storage
from jobs.selectors import archives
from jobs.services.artifacts import artifact_put
from tests.services.test_previews import png
from tracking import stream
from tracking.models import Artifact, ProjectMember
from tracking.services.environments import environment_set
from tracking.services.projects import project_create
from tracking.services.runs import run_create
from tracking.stream import Point

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(user):
    return run_create(project=project_create(owner=user, name="garden"), name="rose", config={}, tags=[])


@pytest.fixture
def put(user, run):
    def put(path, content=b"hello"):
        return artifact_put(user=user, run_id=run.pk, path=path, file=io.BytesIO(content))[0]

    return put


@pytest.fixture
def page(client, user, run):
    client.force_login(user)

    def page(tab, more=""):
        answer = client.get(f"/ui/runs/{run.pk}/?tab={tab}{more}")
        assert answer.status_code == 200
        return answer.content.decode()

    return page


def test_without_files_the_page_tells_how_to_upload_one(page, run):
    text = page("files")
    assert f"/runs/{run.pk}/artifacts/checkpoints/model.pt" in text
    assert "run.log_artifact(" in text


def test_files_are_listed_by_folder_and_downloaded_with_the_session(client, page, run, put):
    put("a b/<b>.html", EVIL.encode())
    text = page("files")
    assert "a%20b/" in text
    assert "&lt;b&gt;" not in text
    text = page("files", "&folder=a%20b/")
    assert "&lt;b&gt;.html" in text
    assert "by ann" in text
    address = f"/runs/{run.pk}/artifacts/a%20b/%3Cb%3E.html"
    assert address in text
    answer = client.get(address)
    assert b"".join(answer.streaming_content).decode() == EVIL
    assert answer["Content-Type"] == "application/octet-stream"


def test_files_are_found_and_sorted(page, put):
    for path in ("a/one.txt", "a/two.txt", "b.txt"):
        put(path, path.encode())
    text = page("files", "&q=TWO")
    assert "a/two.txt" in text
    assert "b.txt" not in text
    assert "has “zzz” in its path" in page("files", "&q=zzz")
    assert "Nothing lies in this folder" in page("files", "&folder=nowhere")
    for odd in ("&sort=zzz", "&page=x", "&folder=../..", "&folder=/", "&q=%25_", "&page=99999999999999999999"):
        page("files", odd)


def test_a_files_page_shows_its_source_and_its_versions(client, page, run, put):
    put("x/evil.html", b"old one")
    put("x/evil.html", EVIL.encode())
    page("files")
    answer = client.get(f"/ui/runs/{run.pk}/file/x/evil.html")
    text = answer.content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert EVIL not in text
    assert "Version 1" in text
    old = client.get(f"/ui/runs/{run.pk}/file/x/evil.html?version=1").content.decode()
    assert "old one" in old
    assert "version 1, not the latest" in old
    for path in ("x/other", "x/evil.html?version=9", "x/evil.html?version=x", "../../x", "x/evil.html/"):
        assert client.get(f"/ui/runs/{run.pk}/file/{path}").status_code == 404


def test_only_pictures_and_media_are_given_to_the_browser_and_in_a_sandbox(client, page, run, put):
    put("ok.png", png())
    put("evil.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    put("evil.png", EVIL.encode())
    page("files")
    answer = client.get(f"/ui/runs/{run.pk}/raw/ok.png")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert answer["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert b"".join(answer.streaming_content) == png()
    part = client.get(f"/ui/runs/{run.pk}/raw/ok.png", headers={"Range": "bytes=0-7"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, png()[:8])
    for path in ("evil.svg", "evil.png", "none"):
        assert client.get(f"/ui/runs/{run.pk}/raw/{path}").status_code == 404


def test_a_folder_comes_as_a_zip(client, page, run, put, monkeypatch):
    for path, content in (("a/b/x", b"one"), ("a/y", b"two"), ("z", b"three")):
        put(path, content)
    page("files")
    for folder, names in (("a/", ["b/x", "y"]), ("", ["a/b/x", "a/y", "z"])):
        answer = client.get(f"/ui/runs/{run.pk}/files.zip?folder={folder}")
        with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == names
            assert archive.read(names[0]) == b"one"
    assert client.get(f"/ui/runs/{run.pk}/files.zip?folder=none").status_code == 404
    monkeypatch.setattr(archives, "MAX_BYTES", 5)
    assert client.get(f"/ui/runs/{run.pk}/files.zip").status_code == 413


def test_a_folder_goes_into_the_trash_and_the_page_takes_it_back(client, page, run, put):
    put("a/x")
    put("b")
    page("files")
    answer = client.post(f"/ui/runs/{run.pk}/files/trash/", {"path": "a/", "in_folder": ""}, follow=True)
    text = answer.content.decode()
    assert "a/ is in the trash" in text
    assert answer.context["page_obj"].paginator.count == 1
    undo = answer.context["files_undo"]
    assert "a/x" in page("files", "&trash=1")
    client.post(f"/ui/runs/{run.pk}/files/restore/", {"path": undo["path"], "at": undo["at"]})
    assert Artifact.objects.live().count() == 2
    for sent in ({}, {"path": "no"}, {"path": "../"}, {"path": "a\0"}):
        assert client.post(f"/ui/runs/{run.pk}/files/trash/", sent).status_code == 302
    for at in ("nonsense", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert client.post(f"/ui/runs/{run.pk}/files/restore/", {"path": "b", "at": at}).status_code == 302
    assert Artifact.objects.live().count() == 2


def test_the_trash_is_emptied(client, page, run, put):
    put("x")
    put("y")
    page("files")
    client.post(f"/ui/runs/{run.pk}/files/trash/", {"path": "x"})
    client.post(f"/ui/runs/{run.pk}/files/purge/")
    assert list(Artifact.objects.values_list("path", flat=True)) == ["y"]
    assert "The trash is empty" in page("files", "&trash=1")


def test_files_are_uploaded_into_the_open_folder_and_not_into_the_trash(page, run):
    assert f'data-run-upload="/runs/{run.pk}" data-folder="plots/"' in page("files", "&folder=plots")
    assert "data-run-upload" not in page("files", "&trash=1")


def test_strangers_see_no_file_and_viewers_change_none(client, run, put, make_user):
    put("x", b"secret")
    bob = make_user("bob")
    client.force_login(bob)
    pages = [f"/ui/runs/{run.pk}/{place}" for place in ("file/x", "raw/x", "files.zip")]
    assert [client.get(address).status_code for address in pages] == [404] * 3
    ProjectMember.objects.create(project=run.project, user=bob, role="viewer")
    assert b"secret" in client.get(pages[0]).content
    assert b"files/trash/" not in client.get(pages[0]).content
    assert b"data-run-upload" not in client.get(f"/ui/runs/{run.pk}/?tab=files").content
    for act in ("trash", "restore", "purge"):
        client.post(f"/ui/runs/{run.pk}/files/{act}/", {"path": "x"})
    assert Artifact.objects.live().count() == 1


def test_the_models_of_a_job_stand_beside_its_runs_files(signed_in, things, data_root, bobs):
    model = things.model()
    folder = data_root / "trained"
    (folder / "parts").mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    (folder / "parts" / "w.bin").write_bytes(b"weights")
    get_storage().put_folder(f"models/{model.public_id}", folder)
    text = signed_in.get(f"/ui/runs/{model.run_id}/?tab=files").content.decode()
    for path in ("model.json", "parts/w.bin"):
        assert f"/ui/models/{model.public_id}/file/{path}" in text
    answer = signed_in.get(f"/ui/models/{model.public_id}/file/parts/w.bin")
    assert b"".join(answer.streaming_content) == b"weights"
    assert answer["Content-Type"] == "application/octet-stream"
    answer = signed_in.get(f"/ui/models/{model.public_id}/files.zip")
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert sorted(archive.namelist()) == ["model.json", "parts/w.bin"]
    for path in ("file/../../x", "file/none", "file/parts"):
        assert signed_in.get(f"/ui/models/{model.public_id}/{path}").status_code == 404
    theirs = bobs.model()
    get_storage().put_folder(f"models/{theirs.public_id}", folder)
    for path in ("file/model.json", "files.zip"):
        assert signed_in.get(f"/ui/models/{theirs.public_id}/{path}").status_code == 404


def test_all_that_a_page_offers_to_download_is_there(client, user, run):
    client.force_login(user)
    with transaction.atomic():
        stream.append(run_id=run.pk, points=[Point("loss", 0.5, step=1)])
    query = "filter=status+%3D+running&column=metrics.loss.last"
    for page in (f"/ui/runs/{run.pk}/", f"/ui/projects/{run.project_id}/?{query}"):
        links = client.get(page).context["downloads"]
        assert len(links) >= 3
        for link in links:
            answer = client.get(link["href"])
            content = b"".join(answer.streaming_content) if answer.streaming else answer.content
            assert (answer.status_code, answer["Content-Disposition"].partition(";")[0]) == (200, "attachment")
            kind = {"CSV": b",", "Parquet": b"PAR1", "JSON": b"{", "text": b""}[link["note"]]
            assert kind in content
    table = client.get(f"/ui/projects/{run.project_id}/?{query}").context["downloads"][0]["href"]
    assert client.get(table).getvalue().decode().splitlines() == ["id,name,metrics.loss.last", f"{run.pk},rose,0.5"]


def test_packages_are_a_table_with_their_versions(page, run):
    environment_set(run_id=run.pk, environment={"host": "gpu-1", "packages": ["numpy==2.4.6", f"{EVIL}==1", "torch"]})
    text = page("environment")
    assert "3 packages" in text
    assert '<th scope="row">numpy</th><td class="wrap-anywhere">2.4.6</td>' in text
    assert "gpu-1" in text
    assert EVIL not in text
    environment_set(run_id=run.pk, environment={"packages": {"no": ["sense"]}, "host": "gpu-1"})
    assert "1 package<" in page("environment")
    environment_set(run_id=run.pk, environment={"packages": "all of them"})
    assert "all of them" in page("environment")


def test_the_environment_is_shown_as_text(page, run):
    assert "Nothing is known" in page("environment")
    environment_set(run_id=run.pk, environment={"python": EVIL}, git={"commit": "8f3c2d1", "diff": EVIL})
    text = page("environment")
    assert "8f3c2d1" in text
    assert EVIL not in text
    assert text.count("&lt;script&gt;") >= 2
