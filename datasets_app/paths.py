"""What a caller may name as data, and the file or folder that it means. Nothing outside the data root is ever opened.

    ds_1f0c…                         a data set
    /data/x, x                       <data root>/x
    /models/<id>                     a trained model's folder
    s3://datasets/…, s3://artifacts/…    the same as /data/datasets/…, /data/artifacts/…
    s3://bucket/key                  an object of a bucket that the operator has allowed

Under the data root `tenants/`, `datasets/`, `models/` and `artifacts/` belong to somebody: a guard says who may see
what, and to anybody else it is as if it were not there. The rest of the root is the operator's shared area.
"""

import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NoReturn

from django.conf import settings

from automl_site.errors import DatasetError, InvalidSpec
from datasets_app.models import Dataset
from datasets_app.storage import FolderStorage, bucket_storage, get_storage

MAX_CHARACTERS = 1000
SHOWN_CHARACTERS = 200
DATASET_ID = re.compile(r"ds_[0-9a-f]{12}")
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
OWNED_FOLDERS = ("tenants", "datasets", "models", "artifacts")
BLOBS = "blobs"  # datasets/blobs/ holds the bytes of uploads; they are reached through their data sets only

Guard = Callable[[Any, str], bool]
_guards: dict[str, Guard] = {}


def register_guard(folder: str, guard: Guard) -> None:
    """`guard(user, name)` says whether the user may see `<folder>/<name>`. Without one the folder is closed to all."""
    if folder not in OWNED_FOLDERS:
        raise ValueError(f"{folder} is not one of {OWNED_FOLDERS}")
    _guards[folder] = guard


@dataclass(frozen=True)
class DataRef:
    """A file or folder that exists and that the caller may read. `text` is what the caller wrote.

    Where it lies says one of `dataset`; `key`, a folder in the storage, and `inner`, a path in that folder; `bucket`
    and `key`, an object elsewhere; `relative`, a path in the data root.
    """

    text: str
    kind: Literal["file", "folder"]
    dataset: Dataset | None = None
    relative: str = ""
    key: str = ""
    inner: str = ""
    bucket: str = ""

    def local(self) -> Path:
        """A local path with the content, to be read only; what lies in a bucket is fetched first.

        Everything is checked once more: between the order and the work a file may have become a link.

        Raises:
            DatasetError: it is gone, or it leads out of the data root by now.
            StorageError: the storage did not do its part.
        """
        try:
            if self.dataset is not None:
                return _under_its_name(get_storage().local_path(self.dataset.blob.key), self.dataset)
            if self.bucket:
                return bucket_storage(self.bucket).local_path(self.key)
            if self.key:
                return _inside(get_storage().local_folder(self.key), self.inner)
            path = _inside(_root(), self.relative)
            if path.is_dir():
                _refuse_links_out(path)
            return path
        except (OSError, _Refused) as error:
            raise DatasetError(
                f"{_shown(self.text)} is not there any more.", details={"file": _shown(self.text)}
            ) from error


def _under_its_name(path: Path, dataset: Dataset) -> Path:
    """A link to the file that has the data set's own name: bytes are kept once, under the name that they first had."""
    if path.name == dataset.local_name:
        return path
    link = names_folder(dataset) / dataset.local_name
    if not link.exists():  # there is none yet, or it leads to a copy that is gone
        link.parent.mkdir(parents=True, exist_ok=True)
        draft = link.with_name(f".{secrets.token_hex(8)}")
        draft.symlink_to(path)
        draft.replace(link)
    return link


def names_folder(dataset: Dataset) -> Path:
    """Where links to the data set's file lie; it may be deleted at any time that nobody reads."""
    return Path(settings.DATA_DIR, "names", dataset.public_id)


def of_dataset(dataset: Dataset) -> DataRef:
    """The reference to a data set that is known to be visible."""
    return DataRef(text=dataset.public_id, kind="file", dataset=dataset)


def resolve(*, user: Any, text: str, field: str = "data_path") -> DataRef:
    """What `text` names, if it exists and the user may see it.

    Raises InvalidSpec with the sentence under `field`; what one may not see is told in the words for what is not there.
    """
    try:
        return _resolve(user, _checked_text(text))
    except _Refused as refusal:
        raise InvalidSpec(errors={field: [str(refusal)]}) from None


class _Refused(Exception):
    """The sentence that the caller is told."""


def _checked_text(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise _Refused("Name a data set (ds_…), a path under /data, or an s3:// address.")
    if len(text) > MAX_CHARACTERS:
        raise _Refused(f"The path has {len(text)} characters; {MAX_CHARACTERS} are allowed.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _Refused("The path holds characters that are not valid Unicode.") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise _Refused("The path holds a control character.")
    return text


def _resolve(user: Any, text: str) -> DataRef:
    if DATASET_ID.fullmatch(text):
        return _dataset_ref(user, text, public_id=text)
    address = ADDRESS.match(text)
    if address and address.group(1) == "s3" and text.startswith("s3://"):
        return _bucket_ref(user, text)
    if address or text.startswith(("//", "\\\\")):
        _refuse(
            text, "is an address that is not opened: name a data set (ds_…), a path under /data, or s3://bucket/key."
        )
    if text.startswith("~"):
        _refuse(text, "is not opened: name a path under /data.")
    if text.startswith("/"):
        first, _, rest = text[1:].partition("/")
        if first == "data":
            return _root_ref(user, text, rest)
        if first == "models":
            return _root_ref(user, text, text)
        _refuse(text, "lies outside the data root: name a path under /data.")
    return _root_ref(user, text, text)


def _root_ref(user: Any, text: str, inside: str) -> DataRef:
    """The reference to a path inside the data root."""
    parts = _parts(text, inside)
    if not parts:
        _refuse(text, "is the data root itself: name a file or folder in it.")
    if parts[0].casefold() in OWNED_FOLDERS:
        return _owned_ref(user, text, parts)
    return _file_ref(user, text, parts)


def _parts(text: str, inside: str) -> tuple[str, ...]:
    parts = tuple(part for part in inside.split("/") if part not in ("", "."))
    if ".." in parts:
        _refuse(text, 'leads upwards ("..") in the data root: name the path without it.')
    return parts


def _owned_ref(user: Any, text: str, parts: tuple[str, ...]) -> DataRef:
    """The reference to something in a folder whose entries belong to somebody."""
    folder = parts[0]
    if folder not in OWNED_FOLDERS or len(parts) < 2:  # other letter case: one file system in two would open it
        _absent(text)
    if folder == "datasets" and DATASET_ID.fullmatch(parts[1]):
        if len(parts) != 3:
            _absent(text)
        return _dataset_ref(user, text, public_id=parts[1], filename=parts[2])
    if not _may_see(user, folder, parts[1]):
        _absent(text)
    storage = get_storage()
    if not isinstance(storage, FolderStorage):
        files = storage.folder_files("/".join(parts[:2]))
        if files:
            return _stored_folder_ref(text, parts, files)
    return _file_ref(user, text, parts)


def _stored_folder_ref(text: str, parts: tuple[str, ...], files: list[str]) -> DataRef:
    key, inner = "/".join(parts[:2]), "/".join(parts[2:])
    if inner in files:
        return DataRef(text=text, kind="file", key=key, inner=inner)
    if not inner or any(name.startswith(inner + "/") for name in files):
        return DataRef(text=text, kind="folder", key=key, inner=inner)
    return _absent(text)


def _may_see(user: Any, folder: str, name: str) -> bool:
    if folder == "datasets":  # what is no data set's (those are looked up) was put there by the operator, for all
        return name != BLOBS and not name.startswith(".")
    guard = _guards.get(folder)
    return guard is not None and guard(user, name)


def _file_ref(user: Any, text: str, parts: tuple[str, ...]) -> DataRef:
    """The reference to a regular file or folder below the data root, wherever links inside the root lead."""
    relative = "/".join(parts)
    try:
        path = _inside(_root(), relative)
        is_folder = stat.S_ISDIR(path.stat().st_mode)
        if is_folder:
            _refuse_links_out(path)
    except (OSError, _Refused):
        _absent(text)
    real = path.relative_to(_root()).parts
    if real != parts and not _link_may_be_followed(user, real):
        _absent(text)
    return DataRef(text=text, kind="folder" if is_folder else "file", relative=relative)


def _link_may_be_followed(user: Any, real: tuple[str, ...]) -> bool:
    """A link made by the operator may lead into an owned folder: it opens no more than the folder itself would."""
    if real and real[0].casefold() not in OWNED_FOLDERS:
        return True
    return len(real) >= 2 and not DATASET_ID.fullmatch(real[1]) and _may_see(user, real[0], real[1])


def _bucket_ref(user: Any, text: str) -> DataRef:
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if bucket in ("datasets", "artifacts"):
        return _root_ref(user, text, f"{bucket}/{key}")
    if bucket not in settings.ALLOWED_BUCKETS:
        allowed = ", ".join(["datasets", "artifacts", *settings.ALLOWED_BUCKETS])
        _refuse(text, f"lies in a bucket that is not allowed here; allowed are {allowed}.")
    parts = _parts(text, key)
    if "/".join(parts) != key or not parts:
        _refuse(text, "names no object: write s3://bucket/key.")
    if not bucket_storage(bucket).exists(key):
        _refuse(text, f"does not exist in the bucket {bucket}.")
    return DataRef(text=text, kind="file", bucket=bucket, key=key)


def _dataset_ref(user: Any, text: str, *, public_id: str, filename: str | None = None) -> DataRef:
    found = Dataset.objects.live().visible_to(user).select_related("blob").filter(public_id=public_id)
    if filename is not None:
        found = found.filter(filename=filename)
    dataset = found.first()
    if dataset is None:
        _refuse(text, "does not exist, or is not yours: upload the file, and use the id that the upload answers.")
    return DataRef(text=text, kind="file", dataset=dataset)


# --- The file system ------------------------------------------------------------------------------------------------


def _root() -> Path:
    return Path(os.path.realpath(settings.FILES_ROOT))


def _inside(root: Path, relative: str) -> Path:
    """The real path of a regular file or folder below `root`. Raises OSError, _Refused (leads out, special file)."""
    root = Path(os.path.realpath(root))
    path = Path(os.path.realpath(root / PurePosixPath(relative), strict=True))
    if path != root and root not in path.parents:
        raise _Refused(f"{relative} leads out of the data root")
    # Opened step by step without following links: what was a link a moment ago is resolved, what is one now is refused.
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.relative_to(root).parts:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        mode = os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _Refused(f"{relative} is neither a file nor a folder")
    return path


def _refuse_links_out(folder: Path) -> None:
    """Who reads a folder follows its links: none may lead out of the data root, or into what belongs to somebody."""
    root = _root()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if not path.is_symlink():
                continue
            real = Path(os.path.realpath(path))
            shared = root in real.parents and real.relative_to(root).parts[0].casefold() not in OWNED_FOLDERS
            if not shared and folder not in real.parents:
                raise _Refused(f"{path.relative_to(folder)} leads out of the folder")


# --- The words ------------------------------------------------------------------------------------------------------


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _refuse(text: str, sentence: str) -> NoReturn:
    raise _Refused(f"{_shown(text)} {sentence}")


def _absent(text: str) -> NoReturn:
    _refuse(
        text,
        "does not exist in the data root: upload the file (POST /api/v1/datasets/upload), "
        "or put it under /data on the server.",
    )
