"""One interface over folders and a bucket. Every test of the `storage` fixture runs on both."""

import os
import threading
from io import BytesIO
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from automl_site.errors import StorageError, TooLarge
from datasets_app import storage as storage_module
from datasets_app.storage import FolderStorage, Storage, get_storage
from datasets_app.storage.cache import LocalCache
from datasets_app.storage.staging import staged
from tests.services.s3 import BUCKET


@pytest.fixture(params=["folders", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folders":
        return FolderStorage(tmp_path / "root")
    request.getfixturevalue("s3_storage")
    return get_storage()


def file_with(folder: Path, content: bytes, name: str = "source") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_comes_back_as_it_was_put(storage: Storage, tmp_path: Path) -> None:
    storage.put_file("datasets/blobs/é 😀.csv", file_with(tmp_path, b"a,b\n1,2\n"))
    assert storage.exists("datasets/blobs/é 😀.csv")
    assert storage.local_path("datasets/blobs/é 😀.csv").read_bytes() == b"a,b\n1,2\n"
    with storage.open("datasets/blobs/é 😀.csv") as file:
        assert file.read() == b"a,b\n1,2\n"


def test_putting_again_replaces_what_readers_get(storage: Storage, tmp_path: Path) -> None:
    for content in (b"first", b"second!"):
        storage.put_file("x/y", file_with(tmp_path, content))
        assert storage.local_path("x/y").read_bytes() == content


def test_what_is_not_there_is_said_so_and_deleting_it_is_no_error(storage: Storage) -> None:
    assert not storage.exists("x/none")
    for read in (storage.local_path, storage.local_folder, storage.open):
        with pytest.raises(FileNotFoundError):
            read("x/none")
    storage.delete("x/none")
    storage.delete_folder("x/none")
    assert storage.folder_files("x/none") == []


def test_a_deleted_file_is_gone(storage: Storage, tmp_path: Path) -> None:
    storage.put_file("x/y", file_with(tmp_path, b"1"))
    storage.delete("x/y")
    assert not storage.exists("x/y")


def test_a_folder_comes_back_whole(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "model"
    file_with(source, b"{}", "model.json")
    file_with(source, b"\0" * 3_000_000, "parts/deep/weights.skops")
    storage.put_folder("models/model_1", source)
    assert storage.folder_files("models/model_1") == ["model.json", "parts/deep/weights.skops"]
    assert content_of(storage.local_folder("models/model_1")) == content_of(source)


def test_a_folder_put_again_holds_only_the_new_files(storage: Storage, tmp_path: Path) -> None:
    file_with(tmp_path / "one", b"1", "old.txt")
    file_with(tmp_path / "two", b"2", "new.txt")
    storage.put_folder("models/m", tmp_path / "one")
    storage.put_folder("models/m", tmp_path / "two")
    assert storage.folder_files("models/m") == ["new.txt"]
    assert content_of(storage.local_folder("models/m")) == {"new.txt": b"2"}


def test_a_deleted_folder_is_gone_and_its_neighbour_stays(storage: Storage, tmp_path: Path) -> None:
    file_with(tmp_path / "one", b"1", "a")
    storage.put_folder("models/m", tmp_path / "one")
    storage.put_folder("models/mm", tmp_path / "one")
    storage.delete_folder("models/m")
    assert storage.folder_files("models/m") == []
    assert storage.folder_files("models/mm") == ["a"]


def test_what_a_killed_process_had_staged_goes_with_the_folder_or_without_one(storage: Storage, tmp_path: Path) -> None:
    file_with(tmp_path / "one", b"1", "a")
    for name in ("models/m", "models/m.x"):
        storage.stage_folder(name, tmp_path / "one")
    storage.delete_folder("models/m")
    if isinstance(storage, FolderStorage):
        (left,) = (storage.root / "models").iterdir()
        assert left.name.startswith(".m.x.")
    storage.put_folder("models/m", tmp_path / "one")
    assert storage.folder_files("models/m") == ["a"]


def test_a_folder_with_a_link_is_refused(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "secret").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="secret"):
        storage.put_folder("models/m", source)
    assert storage.folder_files("models/m") == []


def test_a_key_that_is_no_plain_relative_path_is_a_bug(storage: Storage) -> None:
    for key in ("", "/etc/passwd", "../x", "a/../../x", "a//b", "a\0b", "./a", "a/"):
        with pytest.raises(ValueError, match="not a storage key"):
            storage.local_path(key)


def test_no_draft_is_left_beside_what_was_put(tmp_path: Path) -> None:
    folders = FolderStorage(tmp_path / "root")
    folders.put_file("x/y", file_with(tmp_path, b"1"))
    folders.put_folder("m/n", file_with(tmp_path / "s", b"2", "f").parent)
    folders.delete("x/y")
    assert sorted(p.relative_to(tmp_path / "root").as_posix() for p in (tmp_path / "root").rglob("*")) == [
        "m", "m/n", "m/n/f",
    ]  # fmt: skip


def test_a_full_disk_is_told_as_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    folders = FolderStorage(tmp_path / "root")
    with pytest.raises(StorageError):
        folders.put_file("x/y", file_with(tmp_path, b"1"))
    assert not folders.exists("x/y")


# --- The bucket and its cache -----------------------------------------------------------------------------------------


def test_objects_lie_under_the_prefix(s3_storage: None, s3_client: object, tmp_path: Path) -> None:  # noqa: F811
    get_storage().put_file("datasets/x.csv", file_with(tmp_path, b"1"))
    listed = s3_client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert [found["Key"] for found in listed] == ["site/datasets/x.csv"]


def test_a_second_read_fetches_nothing(s3_storage: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    storage = get_storage()
    storage.put_file("x/y", file_with(tmp_path, b"1"))
    first = storage.local_path("x/y")
    monkeypatch.setattr(storage, "download", lambda *args: pytest.fail("fetched again"))
    assert storage.local_path("x/y") == first


def test_many_readers_at_once_get_one_copy(s3_storage: None, tmp_path: Path) -> None:  # noqa: F811
    storage = get_storage()
    storage.put_file("x/y", file_with(tmp_path, b"content" * 100_000))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(storage.local_path("x/y"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert found[0].read_bytes() == b"content" * 100_000
    assert [path for path in storage.cache.root.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_object_of_a_folder_is_refused(s3_storage: None, s3_client: object, tmp_path: Path) -> None:  # noqa: F811
    file_with(tmp_path / "m", b"weights", "model.skops")
    storage = get_storage()
    storage.put_folder("models/m", tmp_path / "m")
    listed = s3_client.list_objects_v2(Bucket=BUCKET)["Contents"]
    damaged = next(found["Key"] for found in listed if found["Key"].endswith("model.skops"))
    s3_client.put_object(Bucket=BUCKET, Key=damaged, Body=b"weighty")
    with pytest.raises(StorageError):
        storage.local_folder("models/m")


def test_a_bucket_out_of_reach_is_a_storage_error(monkeypatch: pytest.MonkeyPatch, settings: object) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    settings.STORAGE_URL = "s3://nowhere?endpoint_url=http://127.0.0.1:9&region=eu-central-1"
    with pytest.raises(StorageError, match="try again later"):
        get_storage().exists("x/y")


def test_a_download_address_works_without_credentials(s3_storage: None, tmp_path: Path) -> None:  # noqa: F811
    import httpx

    storage = get_storage()
    storage.put_file("x/y", file_with(tmp_path, b"a,b\n"))
    answer = httpx.get(storage.download_url("x/y", 'tab "x"\r\n.csv'), trust_env=False)
    assert answer.status_code == 200
    assert answer.content == b"a,b\n"


def fill_with(size: int):
    return lambda folder: (folder / "data").write_bytes(b"x" * size)


def test_the_cache_drops_what_was_unused_for_longest(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path, max_bytes=250)
    old, older, fresh = (cache.folder(name, fill=fill_with(100)) for name in ("old", "older", "fresh"))
    os.utime(old, (1e9, 1e9))
    os.utime(older, (9e8, 9e8))
    newest = cache.folder("newest", fill=fill_with(100))
    assert [path.exists() for path in (older, old, fresh, newest)] == [False, False, True, True]


def test_the_cache_keeps_what_was_just_used_even_over_its_bound(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path, max_bytes=10)
    entries = [cache.folder(str(number), fill=fill_with(100)) for number in range(3)]
    assert all(entry.exists() for entry in entries)


def test_a_failed_fetch_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise StorageError

    with pytest.raises(StorageError):
        LocalCache(tmp_path, max_bytes=10).folder("x", fill=fail)
    assert list(tmp_path.iterdir()) == []


def test_a_draft_that_another_process_moves_away_disturbs_no_trimming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = LocalCache(tmp_path / "cache", max_bytes=1000)
    cache.folder("kept", fill=fill_with(1))
    draft = cache.root / ".draft"
    draft.mkdir()
    scandir = os.scandir

    def moved_away_before(path: Path) -> object:
        if Path(path) == draft:
            draft.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", moved_away_before)
    cache.trim()
    assert not draft.exists()


# --- STORAGE_URL ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://", "names no bucket"),
        ("s3://b?endpiont_url=http://x", "no option endpiont_url"),
        ("ftp://b", "must be s3:// or gs://"),
    ],
)
def test_a_storage_url_that_makes_no_sense_says_why(settings: object, url: str, sentence: str) -> None:
    settings.STORAGE_URL = url
    with pytest.raises(ImproperlyConfigured, match=sentence):
        get_storage()


def test_google_storage_without_its_client_names_what_to_install(
    settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasets_app.storage.gcs", None)
    settings.STORAGE_URL = "gs://bucket"
    with pytest.raises(ImproperlyConfigured, match="requirements/gcs.txt"):
        get_storage()


def test_one_storage_a_process(settings: object) -> None:
    settings.STORAGE_URL = ""
    assert get_storage() is get_storage()
    assert storage_module._storage("", "/x", 1) is not storage_module._storage("", "/x", 2)


# --- Staging ----------------------------------------------------------------------------------------------------------


def test_a_staged_file_has_its_size_and_hash_and_is_gone_afterwards(settings: object, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    with staged(BytesIO(b"abc"), max_bytes=3) as stage:
        assert (stage.size, stage.path.read_bytes()) == (3, b"abc")
        assert stage.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert list((tmp_path / "staging").iterdir()) == []


def test_one_byte_too_many_names_both_numbers_and_leaves_nothing(settings: object, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    with pytest.raises(TooLarge) as raised, staged(BytesIO(b"abcd"), max_bytes=3):
        pytest.fail("it was taken")
    assert raised.value.details == {"max_bytes": 3, "size_bytes": 4}
    assert "3 bytes" in raised.value.message
    assert "4 bytes" in raised.value.message
    assert list((tmp_path / "staging").iterdir()) == []


def test_what_a_killed_process_left_is_cleared_a_day_later(settings: object, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    left = file_with(tmp_path / "staging", b"x", "old")
    os.utime(left, (1e9, 1e9))
    recent = file_with(tmp_path / "staging", b"x", "recent")
    with staged(BytesIO(b"abc"), max_bytes=3):
        assert not left.exists()
        assert recent.exists()
