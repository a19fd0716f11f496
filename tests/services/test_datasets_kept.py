"""Data sets once they are there: bytes are kept once and never lost, the trash, lists and previews."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import close_old_connections, connection, connections

from automl_site.errors import Conflict, Forbidden, NotFound, StorageError
from datasets_app import selectors, services
from datasets_app.models import Blob, Dataset
from datasets_app.paths import of_dataset
from datasets_app.services import dataset_purge, dataset_restore, dataset_trash
from datasets_app.storage import get_storage

CSV = b"text,label\nSample text 1,positive\nSample text 2,negative\n"


@pytest.fixture(autouse=True)
def data_root(settings: object, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.FILES_ROOT = tmp_path, tmp_path / "files"
    return tmp_path


def upload(user: object, content: bytes, name: str = "x.csv") -> Dataset:
    return services.dataset_upload(owner=user, file=io.BytesIO(content), filename=name)


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# --- Bytes once an owner ----------------------------------------------------------------------------------------------


def test_the_same_bytes_are_kept_once_per_owner(user: object, make_user: object) -> None:
    first, second = upload(user, CSV, "a.csv"), upload(user, CSV, "b.csv")
    theirs = upload(make_user("bob"), CSV, "a.csv")
    assert first.public_id != second.public_id
    assert first.blob == second.blob
    assert theirs.blob != first.blob
    assert Blob.objects.count() == 2


def test_each_upload_of_the_same_bytes_is_read_under_its_own_name(
    user: object, data_root: Path, django_capture_on_commit_callbacks: object
) -> None:
    lines = b'{"text": "a"}\n{"text": "b"}\n'
    as_text, as_records = upload(user, lines, "x.txt"), upload(user, lines, "x.jsonl")
    unnamed = services.dataset_upload(owner=user, file=io.BytesIO(lines), filename="mails", format="jsonl")
    for dataset, name in ((as_text, "x.txt"), (as_records, "x.jsonl"), (unnamed, "mails.jsonl")):
        for _ in range(2):
            path = of_dataset(dataset).local()
            assert (path.name, path.read_bytes()) == (name, lines)
    dataset_trash(user=user, dataset=as_records)
    with django_capture_on_commit_callbacks(execute=True):
        dataset_purge(user=user, dataset=as_records)
    assert [path.name for path in (data_root / "names").rglob("*") if path.is_symlink()] == ["mails.jsonl"]
    assert of_dataset(as_text).local().read_bytes() == lines


@pytest.mark.django_db(transaction=True)
def test_the_same_file_sent_many_times_at_once_is_kept_once(make_user: object, data_root: Path) -> None:
    owner = make_user("ann")
    start = threading.Barrier(6)

    def send(number: int) -> str:
        start.wait(timeout=20)
        try:
            return upload(owner, CSV, f"{number}.csv").public_id
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(send, range(6)))
    close_old_connections()
    assert len(set(ids)) == 6
    assert Blob.objects.count() == 1
    assert len(files_under(data_root / "files")) == 1


def test_a_database_that_refuses_leaves_no_bytes_behind(
    user: object, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**fields: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(Dataset.objects, "create", refuse)
    with pytest.raises(RuntimeError):
        upload(user, CSV)
    assert files_under(data_root / "files") == []


def test_a_storage_that_refuses_leaves_no_row_behind(user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(key: str, source: Path) -> None:
        raise StorageError

    monkeypatch.setattr(get_storage(), "put_file", refuse)
    with pytest.raises(StorageError):
        upload(user, CSV)
    assert not Blob.objects.exists()


# --- The trash --------------------------------------------------------------------------------------------------------


def test_a_trashed_data_set_is_gone_until_it_is_restored(user: object) -> None:
    dataset = upload(user, CSV)
    dataset_trash(user=user, dataset=dataset)
    with pytest.raises(NotFound):
        selectors.dataset_get(user=user, public_id=dataset.public_id)
    assert selectors.dataset_get_trashed(user=user, public_id=dataset.public_id) == dataset
    dataset_restore(user=user, dataset=dataset)
    assert selectors.dataset_get(user=user, public_id=dataset.public_id) == dataset


def test_trashing_or_restoring_twice_is_a_conflict(user: object) -> None:
    dataset = upload(user, CSV)
    with pytest.raises(Conflict):
        dataset_restore(user=user, dataset=dataset)
    with pytest.raises(Conflict):
        dataset_purge(user=user, dataset=dataset)
    dataset_trash(user=user, dataset=dataset)
    with pytest.raises(Conflict):
        dataset_trash(user=user, dataset=dataset)


def test_somebody_else_may_not_trash_restore_or_purge(user: object, make_user: object) -> None:
    dataset, other = upload(user, CSV), make_user("bob")
    for service in (dataset_trash, dataset_restore, dataset_purge):
        with pytest.raises(Forbidden):
            service(user=other, dataset=dataset)


def test_bytes_go_with_the_last_data_set_that_has_them(
    user: object, data_root: Path, django_capture_on_commit_callbacks: object
) -> None:
    first, second = upload(user, CSV), upload(user, CSV)
    for dataset, left in ((first, 1), (second, 0)):
        dataset_trash(user=user, dataset=dataset)
        with django_capture_on_commit_callbacks(execute=True):
            dataset_purge(user=user, dataset=dataset)
        assert len(files_under(data_root / "files")) == left
        assert Blob.objects.count() == left
    assert upload(user, CSV).rows == 2


@pytest.mark.django_db(transaction=True)
def test_a_purge_beside_uploads_of_the_same_bytes_never_takes_what_is_used(make_user: object) -> None:
    owner = make_user("ann")
    dataset = upload(owner, CSV)
    dataset_trash(user=owner, dataset=dataset)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait(timeout=20)
        try:
            if number:
                upload(owner, CSV)
            else:
                dataset_purge(user=owner, dataset=dataset)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert Dataset.objects.count() == 3
    for left in Dataset.objects.select_related("blob"):
        assert get_storage().local_path(left.blob.key).read_bytes() == CSV


# --- Reading ----------------------------------------------------------------------------------------------------------


def test_the_list_shows_ones_own_newest_first_and_is_searched(user: object, make_user: object) -> None:
    names = ["wine.csv", "Iris.csv", "100%_sure.csv"]
    made = [upload(user, CSV, name) for name in names]
    upload(make_user("bob"), CSV, "wine.csv")

    def found(q: str) -> list[str]:
        return [dataset.filename for dataset in selectors.dataset_list(user=user, q=q)]

    assert found("") == names[::-1]
    assert found("iris") == ["Iris.csv"]
    assert found(made[0].public_id) == ["wine.csv"]
    assert found("%_") == ["100%_sure.csv"]
    assert found("\0") == names[::-1]
    assert found("nothing") == []


@pytest.mark.parametrize("page", [1, "1", None, "", "x", "-3", "999", "1e9"])
def test_a_page_out_of_range_is_the_nearest(user: object, page: object) -> None:
    upload(user, CSV)
    assert len(selectors.dataset_list(user=user, page=page)) == 1


def test_lists_and_details_cost_a_fixed_number_of_queries(user: object, django_assert_num_queries: object) -> None:
    for number in range(5):
        upload(user, CSV, f"{number}.csv")
    with django_assert_num_queries(2):  # count, rows with their owners
        page = selectors.dataset_list(user=user)
        assert [dataset.owner.username for dataset in page] == ["ann"] * 5
    with django_assert_num_queries(1):
        dataset = selectors.dataset_get(user=user, public_id=page[0].public_id)
        selectors.preview(dataset=dataset, limit=2)
        selectors.columns(dataset=dataset)


def test_an_upload_costs_a_fixed_number_of_queries(user: object, django_assert_max_num_queries: object) -> None:
    upload(user, b"a\n1\n")
    with django_assert_max_num_queries(11):
        upload(user, CSV)
    assert connection.connection is not None


def test_a_preview_reads_rows_longer_than_its_first_block(user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets_app.preview.FIRST_BLOCK_BYTES", 1000)
    dataset = upload(user, b"a,b\n" + b"x" * 5000 + b",1\ny,2\n")
    rows = selectors.preview(dataset=dataset, limit=10)
    assert [(len(row["a"]), row["b"]) for row in rows] == [(5000, 1), (1, 2)]


@pytest.mark.parametrize("public_id", ["", "x", "ds_", "ds_zzzzzzzzzzzz", "ds_000000000000", "\0", "a" * 10_000])
def test_an_id_of_nothing_is_not_found(user: object, public_id: str) -> None:
    with pytest.raises(NotFound):
        selectors.dataset_get(user=user, public_id=public_id)
