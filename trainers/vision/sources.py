"""Finds the labelled images in what a user has: folders of classes, a table of paths, a zip of either, IDX, Parquet.

Nothing is unpacked to disk, and no path leaves the folder or archive that was given.
"""

import gzip
import io
import os
import re
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from trainers.deep.classes import PARTS
from trainers.protocol import DataProblem

SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
TABLES = {".csv", ".tsv"}
MAX_IMAGE_BYTES = 64 * 1024 * 1024
MAX_FILES = 5_000_000
MAX_IDX_BYTES = 8 * 1024**3
_IMAGE_NAMES = ("image", "img", "path", "file", "filename", "file_name", "filepath", "image_path", "picture", "photo")
_LABEL_NAMES = ("label", "class", "category", "target", "y", "labels")
_IDX_IMAGES = re.compile(r"(.*?)images[-.]idx3-ubyte(\.gz)?$")


@dataclass(frozen=True)
class Examples:
    """Labelled images, not read yet. `read(i)` gives the bytes of a file, or grey pixels (H, W)."""

    names: Sequence[str]
    labels: Sequence[str]
    parts: Sequence[str]  # "train", "val", "test", or "" where the data is not split
    read: Callable[[int], bytes | np.ndarray]

    def __len__(self) -> int:
        return len(self.names)


def find(path: Path, *, image_column: str | None = None, label_column: str | None = None) -> Examples:
    """The labelled images of a file or folder.

    Raises:
        DataProblem: there are none in it, or a table does not say which column is which.
    """
    columns = (image_column, label_column)
    if path.is_dir():
        return _in_tree(_Folder(path), columns)
    suffix = path.suffix.lower()
    if zipfile.is_zipfile(path) and suffix not in (".parquet",):
        return _in_tree(_Archive(path), columns)
    if suffix == ".parquet":
        return _parquet([path], columns)
    if suffix in TABLES:
        return _table(path.read_bytes(), path.name, _Folder(path.parent), columns)
    if _IDX_IMAGES.search(path.name):
        folder = _Folder(path.parent)
        return _idx(folder, [path.name])
    raise DataProblem(
        f'"{path.name}" holds no images that can be learnt from: give a folder (or zip) with a folder of images for '
        "each class, a CSV with a column of paths and one of labels, a Parquet file with images, or MNIST's IDX files."
    )


# --- Where files lie -------------------------------------------------------------------------------------------------
class _Folder:
    """The files below a folder, by their paths in it. Links that lead out of it are no part of it."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def list(self) -> list[str]:
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
            inside = Path(folder).relative_to(self.root).as_posix()
            found += [f"{inside}/{name}" if inside != "." else name for name in sorted(files) if name[0] != "."]
            if len(found) > MAX_FILES:
                raise DataProblem(f"There are more than {MAX_FILES:,} files; give fewer.")
        return found

    def local(self, name: str) -> Path:
        """Raises FileNotFoundError, also for what lies elsewhere."""
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root):
            raise FileNotFoundError(name)
        return path

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Raises OSError, also where it is longer than `limit` (that of an image, where none is given)."""
        with self.local(name).open("rb") as file:
            return _bounded(file, name, limit or MAX_IMAGE_BYTES)


class _Archive:
    """The files in a zip, read where they lie: their names are names only, and no file grows beyond its limit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None
        self._infos = {}
        for info in self._zip().infolist():
            name = PurePosixPath(info.filename.replace("\\", "/"))
            hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
            if not info.is_dir() and not hidden and not name.is_absolute():
                self._infos[name.as_posix()] = info
        if len(self._infos) > MAX_FILES:
            raise DataProblem(f"There are more than {MAX_FILES:,} files in the zip; give fewer.")

    def list(self) -> list[str]:
        return sorted(self._infos)

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Raises OSError."""
        info = self._infos.get(PurePosixPath(name).as_posix())
        if info is None:
            raise FileNotFoundError(name)
        try:
            with self._zip().open(info) as file:
                return _bounded(file, name, limit or MAX_IMAGE_BYTES)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:  # damaged, or encrypted
            raise OSError(f"{name}: {error}") from error

    def _zip(self) -> zipfile.ZipFile:
        # One a process: forked ones would move each other's place in the file.
        if self._open is None or self._open[0] != os.getpid():
            try:
                self._open = os.getpid(), zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError) as error:
                raise DataProblem(f'"{self.path.name}" is no whole zip file: {error}') from error
        return self._open[1]


_Tree = _Folder | _Archive


def _bounded(file: object, name: str, limit: int) -> bytes:
    content: bytes = file.read(limit + 1)  # type: ignore[attr-defined]
    if len(content) > limit:
        raise OSError(f"{name} is longer than {limit} bytes")
    return content


# --- Folders and zips ------------------------------------------------------------------------------------------------
def _in_tree(tree: _Tree, columns: tuple[str | None, str | None]) -> Examples:
    names = tree.list()
    idx = [name for name in names if _IDX_IMAGES.search(name)]
    if idx:
        return _idx(tree, idx)
    tables = [name for name in names if PurePosixPath(name).suffix.lower() in TABLES]
    if tables:
        if len(tables) > 1:
            raise DataProblem(
                f"There are several tables ({', '.join(tables[:5])}): leave the one that names the images."
            )
        return _table(tree.read(tables[0], limit=1024**3), tables[0], tree, columns)
    parquet = [name for name in names if name.lower().endswith(".parquet")]
    if parquet and isinstance(tree, _Folder):
        return _parquet([tree.local(name) for name in parquet], columns)
    images = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    return _class_folders(tree, images)


def _class_folders(tree: _Tree, images: Sequence[str]) -> Examples:
    """`<class>/<image>`, below a folder a part (`train/<class>/…`) or below one that wraps it all."""
    split = [PurePosixPath(name).parts for name in images]
    while split and len({parts[0] for parts in split}) == 1 and min(map(len, split)) > 2:
        split = [parts[1:] for parts in split]  # the folder that was zipped
    parts_of = [PARTS.get(parts[0].lower(), "") if len(parts) > 2 else "" for parts in split]
    has_parts = bool(split) and all(parts_of)
    classes = [parts[1] if has_parts else parts[0] for parts in split if len(parts) > 1]
    if len(classes) < len(split) or not split:
        loose = next(("/".join(parts) for parts in split if len(parts) < 2), "")
        what = f'"{loose}" lies in no class\'s folder' if loose else "there are no images in it"
        raise DataProblem(f"Images are looked for in one folder for each class (cats/1.jpg, dogs/1.jpg): {what}.")
    return Examples(images, classes, parts_of if has_parts else [""] * len(images), lambda i: tree.read(images[i]))


# --- Tables ----------------------------------------------------------------------------------------------------------
def _table(content: bytes, name: str, tree: _Tree, columns: tuple[str | None, str | None]) -> Examples:
    """A table of paths (in the folder that the table lies in) and labels."""
    try:
        table = pl.read_csv(
            io.BytesIO(content),
            separator="\t" if name.endswith(".tsv") else ",",
            infer_schema=False,
            truncate_ragged_lines=True,
        )
    except PolarsError as error:
        raise DataProblem(f'"{name}" cannot be read as a table: {str(error).splitlines()[0]}') from error
    image_column, label_column = _columns(table.columns, columns, name)
    folder = PurePosixPath(name).parent
    paths = table[image_column].to_list()
    labels = table[label_column].to_list()
    for number, (path, label) in enumerate(zip(paths, labels, strict=True), 2):  # row 1 is the header
        if not path or label is None or not label.strip():
            what = image_column if not path else label_column
            raise DataProblem(f'Row {number} of "{name}" has no {what}.', details={"row": number, "column": what})
    files = [(folder / path.replace("\\", "/")).as_posix() for path in paths]
    part = next((each for each in table.columns if each.lower() in ("split", "part", "subset")), None)
    parts = [PARTS.get(str(each).strip().lower(), "") for each in table[part]] if part else [""] * len(files)
    return Examples(files, [label.strip() for label in labels], parts, lambda i: tree.read(files[i]))


def _parquet(paths: Sequence[Path], columns: tuple[str | None, str | None]) -> Examples:
    """Tables of images: bytes, or the struct {bytes, path} that data sets of the Hugging Face Hub have."""
    try:
        table = pl.concat([pl.read_parquet(path) for path in paths])
    except (PolarsError, OSError) as error:
        raise DataProblem(f"The Parquet file cannot be read: {str(error).splitlines()[0]}") from error
    held = [name for name, kind in table.schema.items() if kind == pl.Binary or isinstance(kind, pl.Struct)]
    image_column, label_column = _columns(
        table.columns, (columns[0] or next(iter(held), None), columns[1]), paths[0].name
    )
    images = table[image_column]
    if isinstance(images.dtype, pl.Struct):
        if "bytes" not in images.struct.fields:
            raise DataProblem(f'Column "{image_column}" holds no images: its parts are {images.struct.fields}.')
        images = images.struct.field("bytes")
    if images.dtype != pl.Binary:
        raise DataProblem(f'Column "{image_column}" holds {images.dtype}, not the bytes of images.')
    if table[label_column].null_count():
        row = int(table[label_column].is_null().arg_max() or 0)
        raise DataProblem(f"Row {row + 1} has no {label_column}.", details={"row": row + 1, "column": label_column})
    labels = table[label_column].cast(pl.String).to_list()
    names = [f"row {row + 1}" for row in range(len(table))]

    def read(index: int) -> bytes:
        content = images[index]
        if content is None or len(content) > MAX_IMAGE_BYTES:
            raise OSError(f"{names[index]} has no image, or one of more than {MAX_IMAGE_BYTES} bytes")
        return bytes(content)

    return Examples(names, labels, [""] * len(table), read)


def _columns(names: Sequence[str], asked: tuple[str | None, str | None], file: str) -> tuple[str, str]:
    """The columns of images and of labels."""
    for name in asked:
        if name is not None and name not in names:
            raise DataProblem(f'"{file}" has no column "{name}"; it has {", ".join(names)}.', details={"column": name})
    lower: Mapping[str, str] = {name.lower().strip(): name for name in reversed(names)}
    image = asked[0] or next((lower[name] for name in _IMAGE_NAMES if name in lower), None)
    label = asked[1] or next((lower[name] for name in _LABEL_NAMES if name in lower and lower[name] != image), None)
    if len(names) == 2:
        image = image or next(name for name in names if name != label)
        label = label or next(name for name in names if name != image)
    if image is None or label is None:
        field = "image_column" if image is None else "label_column"
        raise DataProblem(f'Which column of "{file}" is it? Set {field} to one of {", ".join(names)}.')
    return image, label


# --- IDX -------------------------------------------------------------------------------------------------------------
def _idx(tree: _Tree, image_files: Sequence[str]) -> Examples:
    """MNIST's format (http://yann.lecun.com/exdb/mnist): big-endian header, then unsigned bytes; perhaps gzipped."""
    known = set(tree.list())
    pixels, labels, names, parts = [], [], [], []
    for name in image_files:
        plain = name.removesuffix(".gz")
        wanted = [plain.replace("images-idx3", "labels-idx1"), plain.replace("images.idx3", "labels.idx1")]
        label_file = next(
            (each for base in wanted for each in (base, f"{base}.gz") if each in known and base != plain), None
        )
        if label_file is None:
            raise DataProblem(f'The labels of "{name}" are missing: "{wanted[0]}" is looked for beside it.')
        images = _idx_array(tree, name, dimensions=3)
        classes = _idx_array(tree, label_file, dimensions=1)
        if len(images) != len(classes):
            raise DataProblem(f'"{name}" has {len(images)} images, "{label_file}" {len(classes)} labels.')
        pixels.append(images)
        labels += [str(label) for label in classes.tolist()]
        names += [f"{name}, image {number + 1}" for number in range(len(images))]
        base = PurePosixPath(name).name
        parts += ["train" if base.startswith("train") else "test" if base.startswith("t10k") else ""] * len(images)
    if len({each.shape[1:] for each in pixels}) > 1:
        raise DataProblem("The IDX files hold images of different sizes.")
    together = np.concatenate(pixels)
    if len(set(parts)) == 1:
        parts = [""] * len(parts)
    return Examples(names, labels, parts, lambda i: together[i])


def _idx_array(tree: _Tree, name: str, *, dimensions: int) -> np.ndarray:
    content = tree.read(name, limit=MAX_IDX_BYTES)
    try:
        if name.endswith(".gz"):
            with gzip.open(io.BytesIO(content)) as file:
                content = _bounded(file, name, MAX_IDX_BYTES)
        header = struct.unpack_from(f">4B{dimensions}I", content)
        shape = header[4:]
        if header[:4] != (0, 0, 8, dimensions) or len(content) != 4 + 4 * dimensions + int(
            np.prod(shape, dtype=object)
        ):
            raise ValueError("its header does not fit its length")
    except (OSError, EOFError, struct.error, ValueError) as error:
        raise DataProblem(f'"{name}" is no whole IDX file: {error}') from error
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def files_of(path: Path) -> list[tuple[str, bytes]]:
    """(name, content) of every image in a folder or zip, in the order of their names. Raises DataProblem."""
    tree: _Tree = _Folder(path) if path.is_dir() else _Archive(path)
    names = [name for name in tree.list() if PurePosixPath(name).suffix.lower() in SUFFIXES]
    try:
        return [(name, tree.read(name)) for name in names]
    except OSError as error:
        raise DataProblem(f"An image cannot be read: {error}") from error
