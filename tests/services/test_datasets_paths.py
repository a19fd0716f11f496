"""What a caller may name as data: the whole law of data paths, and that no text gets around it."""

import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from automl_site.errors import DatasetError, DomainError, InvalidSpec
from datasets_app import paths, services
from datasets_app.models import Dataset
from datasets_app.storage import get_storage
from tests.services.s3 import BUCKET

CSV = b"a,b\n1,2\n"


@pytest.fixture
def root(settings: object, tmp_path: Path) -> Path:
    """A data root of the test's own, with a few files, and a secret beside it."""
    settings.DATA_DIR = tmp_path
    settings.FILES_ROOT = tmp_path / "files"
    root = tmp_path / "files"
    for name in (
        "wine.csv",
        "team/é 😀.csv",
        "%2e%2e/x.csv",
        "images/cat/1.jpg",
        "datasets/shared.csv",
        "datasets/blobs/k/x.csv",
        "models/model_0123456789ab/model.json",
        "artifacts/run/adapter.bin",
        "tenants/acme/team/1.jpg",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CSV)
    (tmp_path / "secret.csv").write_bytes(CSV)
    (root / "inside.csv").symlink_to(root / "wine.csv")
    (root / "out.csv").symlink_to(tmp_path / "secret.csv")
    (root / "out").symlink_to("/etc")
    (root / "to_models").symlink_to(root / "models")
    (root / "loop").symlink_to(root / "loop")
    (root / "trapped").mkdir()
    (root / "trapped" / "x.csv").symlink_to("/etc/passwd")
    (root / "detour").mkdir()
    (root / "detour" / "models").symlink_to(root / "models")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody may see the model 0123456789ab, nobody any other."""
    monkeypatch.setattr(paths, "_guards", {})
    paths.register_guard("models", lambda user, name: name == "model_0123456789ab")


@pytest.fixture
def dataset(root: Path, user: object) -> Dataset:
    return services.dataset_upload(owner=user, file=BytesIO(CSV), filename="wine.csv")


def refusal(user: object, text: object) -> str:
    with pytest.raises(InvalidSpec) as raised:
        paths.resolve(user=user, text=text)
    assert list(raised.value.errors) == ["data_path"]
    return raised.value.errors["data_path"][0]


@pytest.mark.parametrize(
    ("text", "relative", "kind"),
    [
        ("/data/wine.csv", "wine.csv", "file"),
        ("wine.csv", "wine.csv", "file"),
        ("./wine.csv", "wine.csv", "file"),
        ("/data//./wine.csv", "wine.csv", "file"),
        ("/data/team/é 😀.csv", "team/é 😀.csv", "file"),
        ("%2e%2e/x.csv", "%2e%2e/x.csv", "file"),
        ("inside.csv", "wine.csv", "file"),
        ("images", "images", "folder"),
        ("/data/images/", "images", "folder"),
        ("s3://datasets/shared.csv", "datasets/shared.csv", "file"),
        ("/data/datasets/shared.csv", "datasets/shared.csv", "file"),
    ],
)
def test_what_lies_in_the_shared_area_is_found(user: object, root: Path, text: str, relative: str, kind: str) -> None:
    found = paths.resolve(user=user, text=text)
    assert (found.text, found.kind, found.local()) == (text, kind, root / relative)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("/data/none.csv", "/data/none.csv does not exist in the data root"),
        ("none.csv", "upload the file (POST /api/v1/datasets/upload)"),
        ("../secret.csv", "upwards"),
        ("/data/../secret.csv", "upwards"),
        ("images/../../secret.csv", "upwards"),
        ("images/../wine.csv", "upwards"),
        ("/etc/passwd", "outside the data root"),
        ("/database/x", "outside the data root"),
        ("/", "outside the data root"),
        ("/data", "the data root itself"),
        ("/data/", "the data root itself"),
        (".", "the data root itself"),
        ("~/x.csv", "not opened"),
        ("~root/x.csv", "not opened"),
        ("file:///etc/passwd", "not opened"),
        ("file:/etc/passwd", "not opened"),
        ("http://127.0.0.1/x.csv", "not opened"),
        ("HTTPS://example.com/x.csv", "not opened"),
        ("S3://datasets/shared.csv", "not opened"),
        ("gs://bucket/x.csv", "not opened"),
        ("//host/share/x.csv", "not opened"),
        ("\\\\host\\share\\x.csv", "not opened"),
        ("..\\secret.csv", "does not exist"),
        ("C:\\x.csv", "does not exist"),
        ("out.csv", "does not exist"),
        ("out/passwd", "does not exist"),
        ("trapped", "does not exist"),
        ("detour", "does not exist"),
        ("trapped/x.csv", "does not exist"),
        ("loop", "does not exist"),
        ("pipe", "does not exist"),
        ("wine.csv/x", "does not exist"),
        ("a" * 300, "does not exist"),
        ("a" * 1001, "1001 characters; 1000 are allowed"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("\ud800", "not valid Unicode"),
        ("", "Name a data set"),
        ("   ", "Name a data set"),
        (None, "Name a data set"),
        (12, "Name a data set"),
        (["wine.csv"], "Name a data set"),
        ("datasets", "does not exist"),
        ("/data/datasets/blobs/k/x.csv", "does not exist"),
        ("/data/datasets/blobs", "does not exist"),
        ("/data/./datasets//blobs/k/x.csv", "does not exist"),
        ("s3://datasets/blobs/k/x.csv", "does not exist"),
        ("s3://datasets/../wine.csv", "upwards"),
        ("s3://datasets", "does not exist"),
        ("Datasets/shared.csv", "does not exist"),
        ("models/model_0123456789ab", "does not exist"),
        ("MODELS/model_0123456789ab", "does not exist"),
        ("/models/model_0123456789ab", "does not exist"),
        ("to_models/model_0123456789ab", "does not exist"),
        ("to_models", "does not exist"),
        ("/models", "does not exist"),
        ("s3://artifacts/run/adapter.bin", "does not exist"),
        ("/data/tenants/acme", "does not exist"),
        ("s3://other/x.csv", "not allowed here; allowed are datasets, artifacts."),
        ("s3:///x.csv", "not allowed"),
        ("s3://", "not allowed"),
        ("ds_000000000000", "does not exist, or is not yours"),
        ("s3://datasets/ds_000000000000/x.csv", "does not exist"),
        ("ds_000000000000/x.csv", "does not exist in the data root"),
    ],
)
def test_everything_else_is_refused_in_plain_words(user: object, root: Path, text: object, sentence: str) -> None:
    told = refusal(user, text)
    assert sentence in told
    assert str(root) not in told
    if isinstance(text, str) and 0 < len(text.strip()) <= 200 and "control" not in told and "Unicode" not in told:
        assert text in told


def test_a_long_path_is_named_cut(user: object, root: Path) -> None:
    assert len(refusal(user, "a" * 900)) < 450


@pytest.mark.parametrize("form", ["{id}", "s3://datasets/{id}/wine.csv", "/data/datasets/{id}/wine.csv"])
def test_a_data_set_is_found_by_its_id_and_by_the_paths_that_answers_gave(
    user: object, dataset: Dataset, form: str
) -> None:
    found = paths.resolve(user=user, text=form.format(id=dataset.public_id))
    assert found.dataset == dataset
    assert found.kind == "file"
    assert found.local().read_bytes() == CSV


@pytest.mark.parametrize(
    "form", ["{id}", "s3://datasets/{id}/wine.csv", "/data/datasets/{id}/wine.csv", "datasets/{id}/wine.csv"]
)
def test_somebody_elses_data_set_reads_as_one_that_is_not_there(make_user: object, dataset: Dataset, form: str) -> None:
    other = make_user("bob")
    text = form.format(id=dataset.public_id)
    unknown = text.replace(dataset.public_id, "ds_000000000000")
    assert refusal(other, text) == refusal(other, unknown).replace("ds_000000000000", dataset.public_id)


@pytest.mark.parametrize("form", ["s3://datasets/{id}", "s3://datasets/{id}/x.csv", "s3://datasets/{id}/a/wine.csv"])
def test_a_data_set_is_not_found_under_another_name(user: object, dataset: Dataset, form: str) -> None:
    assert "does not exist" in refusal(user, form.format(id=dataset.public_id))


def test_the_bytes_of_a_data_set_are_not_reached_by_their_key(user: object, dataset: Dataset) -> None:
    assert "does not exist" in refusal(user, dataset.blob.key)


def test_a_trashed_data_set_is_not_found(user: object, dataset: Dataset) -> None:
    services.dataset_trash(user=user, dataset=dataset)
    assert "does not exist" in refusal(user, dataset.public_id)


def test_a_guard_opens_what_the_user_may_see(user: object, root: Path, guarded: None) -> None:
    folder = root / "models" / "model_0123456789ab"
    for text in ("/models/model_0123456789ab", "/data/models/model_0123456789ab", "to_models/model_0123456789ab"):
        found = paths.resolve(user=user, text=text)
        assert (found.kind, found.local()) == ("folder", folder)
    assert paths.resolve(user=user, text="/models/model_0123456789ab/model.json").local() == folder / "model.json"
    assert "does not exist" in refusal(user, "/models/model_ffffffffffff")


def test_only_the_owned_folders_have_guards() -> None:
    with pytest.raises(ValueError, match="wine"):
        paths.register_guard("wine", lambda user, name: True)


def test_a_file_that_became_a_link_out_after_the_order_is_not_read(user: object, root: Path) -> None:
    found = paths.resolve(user=user, text="wine.csv")
    (root / "wine.csv").unlink()
    (root / "wine.csv").symlink_to(root.parent / "secret.csv")
    with pytest.raises(DatasetError, match="wine.csv is not there any more"):
        found.local()


def test_a_folder_that_got_a_link_out_after_the_order_is_not_read(user: object, root: Path) -> None:
    found = paths.resolve(user=user, text="images")
    (root / "images" / "more").symlink_to("/etc")
    with pytest.raises(DatasetError, match="images"):
        found.local()


def test_a_file_that_is_gone_after_the_order_is_told_so(user: object, root: Path, dataset: Dataset) -> None:
    shared, own = paths.resolve(user=user, text="wine.csv"), paths.of_dataset(dataset)
    (root / "wine.csv").unlink()
    get_storage().delete(dataset.blob.key)
    for found in (shared, own):
        with pytest.raises(DatasetError, match="not there any more"):
            found.local()


SEGMENTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "data",
        "wine.csv",
        "images",
        "models",
        "model_0123456789ab",
        "datasets",
        "blobs",
        "k",
        "x.csv",
        "out",
    ]
    + ["out.csv", "to_models", "passwd", "etc", "%2e%2e", "..%2f", "\\..", "~", "file:", "s3:", "artifacts", "tenants"]
    + ["acme", "secret.csv", "ds_000000000000", "\0", "😀", "\ud800", "Models", "trapped", "pipe", "loop", "a" * 300]
)


@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    text=st.one_of(st.lists(SEGMENTS, max_size=7).map("/".join), st.text(max_size=40), st.text().map("/data/".__add__))
)
@example("to_models/../../secret.csv")
@example("/data/out/passwd")
def test_no_text_ever_leads_out_of_the_root_or_into_what_is_not_ones_own(user: object, root: Path, text: str) -> None:
    try:
        path = paths.resolve(user=user, text=text).local()
    except DomainError:
        return
    assert path == Path(os.path.realpath(path))
    relative = path.relative_to(root)
    assert relative.parts[0] not in ("models", "artifacts", "tenants")
    assert relative.parts[:2] != ("datasets", "blobs")


# --- In a bucket ------------------------------------------------------------------------------------------------------


def test_an_allowed_bucket_is_read_through_the_configured_service(
    user: object,
    s3_storage: None,  # noqa: F811
    s3_client: object,  # noqa: F811
    settings: object,
) -> None:
    settings.ALLOWED_BUCKETS = [BUCKET]
    s3_client.put_object(Bucket=BUCKET, Key="raw/wine.csv", Body=CSV)
    found = paths.resolve(user=user, text=f"s3://{BUCKET}/raw/wine.csv")
    assert found.local().read_bytes() == CSV
    for text in ("raw/none.csv", "raw//wine.csv", "raw/./wine.csv", "raw/../raw/wine.csv", ""):
        refusal(user, f"s3://{BUCKET}/{text}")


def test_a_model_in_a_bucket_is_found_by_its_path(
    user: object,
    s3_storage: None,  # noqa: F811
    tmp_path: Path,
    guarded: None,
) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "model.json").write_bytes(b"{}")
    get_storage().put_folder("models/model_0123456789ab", source)
    found = paths.resolve(user=user, text="/models/model_0123456789ab")
    assert (found.kind, (found.local() / "model.json").read_bytes()) == ("folder", b"{}")
    inner = paths.resolve(user=user, text="/models/model_0123456789ab/model.json")
    assert (inner.kind, inner.local().read_bytes()) == ("file", b"{}")
    assert "does not exist" in refusal(user, "/models/model_0123456789ab/none")


def test_a_data_set_in_a_bucket_is_fetched_where_it_is_used(user: object, s3_storage: None) -> None:  # noqa: F811
    dataset = services.dataset_upload(owner=user, file=BytesIO(CSV), filename="wine.csv")
    assert paths.resolve(user=user, text=dataset.s3_path).local().read_bytes() == CSV
