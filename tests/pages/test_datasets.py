"""The pages of data sets, as a person uses them."""

import asyncio
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient, Client
from playwright.sync_api import Page, expect

from automl_site import streaming
from datasets_app import services
from datasets_app.models import Dataset
from datasets_app.storage import get_storage
from tests.conftest import in_brief

GRAPES, ORGANIC = (b"riesling", b"merlot", b""), (b"yes", b"no")


def wine(i: int) -> bytes:
    rating = b"" if i % 7 else b"%d" % i
    facts = (i, GRAPES[i % 3], 4 + i / 3, rating, i % 28 + 1, i, ORGANIC[i % 2])
    return b"%d,%s,%.2f,%s,2024-01-%02d,tasting note number %d of the year,%s\n" % facts


HEADER = b"wine_id,grape,price,rating,tasted,notes,organic\n"
WINE = HEADER + b"".join(wine(i) for i in range(40)) + b"too,short\n"


@pytest.fixture(autouse=True)
def data_root(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.FILES_ROOT = tmp_path, tmp_path / "files"
    return tmp_path


def upload(owner: Any, content: bytes = WINE, filename: str = "wine.csv") -> Dataset:
    return services.dataset_upload(owner=owner, file=io.BytesIO(content), filename=filename)


@pytest.fixture
def client(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


# --- What the server answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "export.csv", "{id}/", "{id}/columns.json", "{id}/columns.csv", "{id}/download"])
def test_every_page_asks_to_sign_in(user: Any, path: str, settings: Any) -> None:
    address = "/ui/datasets/" + path.format(id=upload(user).public_id)
    for open_mode in (False, True):
        settings.OPEN_MODE = open_mode
        answer = Client(headers={"Host": "localhost"}).get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/login?next=")


@pytest.mark.parametrize("path", ["", "columns.json", "columns.csv", "download"])
def test_somebody_elses_data_set_has_no_page(client: Client, make_user: Any, path: str) -> None:
    theirs = upload(make_user("bob"))
    assert client.get(f"/ui/datasets/{theirs.public_id}/{path}").status_code == 404
    for act in ("trash", "restore", "purge"):
        assert client.post(f"/ui/datasets/{theirs.public_id}/{act}/").status_code == 404
    assert b"wine.csv" not in client.get("/ui/datasets/").content


def test_the_columns_are_told_to_forms(client: Client, user: Any) -> None:
    answer = client.get(f"/ui/datasets/{upload(user).public_id}/columns.json").json()
    assert [(column["name"], column["kind"]) for column in answer["columns"]] == [
        ("wine_id", "id"), ("grape", "category"), ("price", "number"), ("rating", "integer"), ("tasted", "date"),
        ("notes", "text"), ("organic", "boolean"),
    ]  # fmt: skip
    assert set(answer["columns"][0]) == {"name", "kind", "missing", "distinct", "examples"}
    assert answer["suggested_target"] == "organic"


def test_a_download_is_the_file_as_it_was_sent(client: Client, user: Any) -> None:
    answer = client.get(f"/ui/datasets/{upload(user, filename='wine é 🍷.csv').public_id}/download")
    assert b"".join(answer.streaming_content) == WINE
    assert answer["Content-Type"] == "text/csv"
    assert answer["Content-Length"] == str(len(WINE))
    assert answer["Content-Disposition"].startswith("attachment; filename*=utf-8''wine%20")


@pytest.mark.django_db(transaction=True)
async def test_a_download_is_streamed_piece_by_piece_under_asgi(user: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FILE_PIECE_BYTES", 100)
    dataset = await asyncio.to_thread(upload, user)
    client = AsyncClient()
    await client.aforce_login(user)
    answer = await client.get(f"/ui/datasets/{dataset.public_id}/download")
    pieces = [piece async for piece in answer]
    assert len(pieces) > 3
    assert b"".join(pieces) == WINE


def test_what_a_spreadsheet_would_run_is_told_to_be_text(client: Client, user: Any) -> None:
    upload(user, filename="=cmd()|x.csv")
    assert b"'=cmd()|x.csv" in client.get("/ui/datasets/export.csv").content
    made = upload(user, b"=1+1,b\n1,2\n")
    lines = client.get(f"/ui/datasets/{made.public_id}/columns.csv").content.decode().splitlines()
    assert lines == ["name,kind,dtype,missing,distinct", "'=1+1,integer,integer,0,1", "b,integer,integer,0,1"]


def test_trash_undo_and_delete_for_good(client: Client, user: Any, django_capture_on_commit_callbacks: Any) -> None:
    dataset = upload(user)
    page = f"/ui/datasets/{dataset.public_id}/"
    answer = client.post(f"{page}trash/", follow=True)
    assert b"wine.csv is in the trash." in answer.content
    assert client.get(page).status_code == 404
    assert client.post(f"{page}restore/", follow=True).redirect_chain[-1][0] == page
    client.post(f"{page}trash/")
    assert b"wine.csv" in client.get("/ui/datasets/?trash=1").content
    with django_capture_on_commit_callbacks(execute=True):
        assert b"deleted for good" in client.post(f"{page}purge/", follow=True).content
    assert not get_storage().exists(dataset.blob.key)


def test_what_is_not_in_the_trash_is_not_deleted(client: Client, user: Any) -> None:
    dataset = upload(user)
    assert client.post(f"/ui/datasets/{dataset.public_id}/purge/").status_code == 404
    assert Dataset.objects.filter(pk=dataset.pk).exists()


@pytest.mark.parametrize("act", ["trash", "restore", "purge"])
def test_acts_are_posts(client: Client, user: Any, act: str) -> None:
    assert client.get(f"/ui/datasets/{upload(user).public_id}/{act}/").status_code == 405


def test_a_page_stands_when_the_file_cannot_be_read(client: Client, user: Any) -> None:
    dataset = upload(user)
    get_storage().delete(dataset.blob.key)
    answer = client.get(f"/ui/datasets/{dataset.public_id}/")
    assert answer.status_code == 200
    assert b"is not there any more" in answer.content


@pytest.mark.parametrize("query", ["page=x", "page=-1", "page=" + "9" * 30, "q=%22%27%3C", "undo=x", "trash=2"])
def test_no_query_breaks_the_list(client: Client, user: Any, query: str) -> None:
    upload(user)
    assert client.get(f"/ui/datasets/?{query}").status_code == 200


def test_what_is_in_a_file_is_never_markup(client: Client, user: Any) -> None:
    content = b"<script>alert(1)</script>,b\n<img src=x onerror=alert(1)>,1\n"
    dataset = upload(user, content, "<b>x</b>.csv".replace("/", ""))
    for path in ("/ui/datasets/", f"/ui/datasets/{dataset.public_id}/"):
        page = client.get(path).content
        assert b"<script>alert" not in page
        assert b"<img src=x" not in page
        assert b"<b>x" not in page


def test_many_columns_are_cut_and_counted(client: Client, user: Any) -> None:
    dataset = upload(user, ",".join(f"c{i}" for i in range(300)).encode() + b"\n" + b",".join([b"1"] * 300) + b"\n")
    page = client.get(f"/ui/datasets/{dataset.public_id}/").content.decode()
    assert "100 more columns are in the CSV" in page
    assert "260 more columns are not shown" in page


def test_queries_are_few(client: Client, user: Any, django_assert_max_num_queries: Any) -> None:
    made = [upload(user, WINE + b"%d,\n" % i) for i in range(12)]
    client.get("/ui/datasets/")
    with django_assert_max_num_queries(4):  # session, user, count, rows
        client.get("/ui/datasets/")
    with django_assert_max_num_queries(3):  # session, user, data set
        client.get(f"/ui/datasets/{made[0].public_id}/")


# --- What a person sees -----------------------------------------------------------------------------------------------


@pytest.fixture
def signed_in(live_server: Any, user: Any) -> Callable[[Page], Page]:
    """signed_in(page) -> the page with the user's session."""

    def sign_in(page: Page) -> Page:
        client = Client()
        client.force_login(user)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}
        page.context.add_cookies([cookie])
        return page

    return sign_in


@pytest.mark.django_db(transaction=True)
def test_a_file_dropped_in_is_shown_and_trashed_and_brought_back(
    page: Page, live_server: Any, signed_in: Any, tmp_path: Path
) -> None:
    signed_in(page).goto(f"{live_server.url}/ui/datasets/")
    expect(page.get_by_role("heading", name="No data sets yet")).to_be_visible()
    source = tmp_path / "wine.csv"
    source.write_bytes(WINE)
    page.get_by_label("Drop a file here, or choose one").set_input_files(source)
    expect(page).to_have_url(re.compile(r"/ui/datasets/ds_[0-9a-f]{12}/$"))
    expect(page.get_by_role("heading", name="wine.csv")).to_be_visible()
    expect(page).to_have_title("wine.csv · AutoML")
    row = page.get_by_role("region", name="Table of columns").get_by_role("row", name=re.compile("^grape"))
    expect(row).to_contain_text("category")
    expect(row).to_contain_text("32.5%")
    expect(page.get_by_role("region", name="Table of first rows")).to_contain_text("tasting note number 3 of the year")
    expect(page.get_by_role("note")).to_contain_text("row 42: 2 values where the header has 7")
    expect(page.get_by_role("link", name="Train on this")).to_have_attribute(
        "href", re.compile(r"^/ui/jobs/new/\?dataset=ds_[0-9a-f]{12}$")
    )
    page.get_by_role("button", name="Trash").click()
    expect(page.get_by_text("wine.csv is in the trash.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("wine.csv is back.")).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_a_refused_file_says_why_where_it_was_dropped(
    page: Page, live_server: Any, signed_in: Any, page_errors: Any, tmp_path: Path
) -> None:
    page_errors.allow("400")
    signed_in(page).goto(f"{live_server.url}/ui/datasets/")
    source = tmp_path / "bad.csv"
    source.write_bytes(b"a,b\n1\n2\n")
    page.get_by_label("Drop a file here, or choose one").set_input_files(source)
    expect(page.get_by_text("bad.csv, row 2: 1 values where the header has 2").first).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_several_files_at_once_lead_into_the_list(page: Page, live_server: Any, signed_in: Any, tmp_path: Path) -> None:
    signed_in(page).goto(f"{live_server.url}/ui/datasets/")
    sources = [tmp_path / f"{name}.csv" for name in "abc"]
    for number, source in enumerate(sources):
        source.write_bytes(b"n\n%d\n" % number)
    page.get_by_label("Drop a file here, or choose one").set_input_files(sources)
    expect(page.locator(".upload-list").get_by_text("Stored")).to_have_count(3)
    page.get_by_role("link", name="Show them in the list").click()
    expect(page.get_by_role("region", name="Data sets").get_by_role("row")).to_have_count(4)


LOOKS = {"no data sets": "", "list of data sets": "", "trash of data sets": "?trash=1", "data set": "{id}/"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", in_brief(LOOKS, "data set"))
def test_a_page_is_accessible_and_fits(
    page: Page, live_server: Any, signed_in: Any, user: Any, look: Callable[[str], None], name: str
) -> None:
    path = LOOKS[name]
    if name != "no data sets":
        path = path.format(id=upload(user).public_id)
        for number in range(30):
            upload(user, b"n\n%d\n" % number, f"a rather long name of a file, the {number}th.csv")
        services.dataset_trash(user=user, dataset=upload(user, filename="old.csv"))
    signed_in(page).goto(f"{live_server.url}/ui/datasets/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    look(name)
