"""Finds the labelled images in what a user has: folders of classes, a table of paths, a zip of either, IDX, Parquet.

`find` wants labels too, for a training; `unlabelled` the images alone, to predict on.
"""

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from trainers.deep.classes import PARTS, part_of_file
from trainers.protocol import DataProblem
from trainers.tabular.read import sniff_delimiter
from trainers.vision.trees import MAX_IMAGE_BYTES, Archive, Folder, Tree, bounded

SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
TABLES = {".csv", ".tsv"}
MAX_TABLE_BYTES = 1024**3
MAX_IDX_BYTES = 2 * 1024**3
_HEAD = 65_536  # bytes of a table that its delimiter is judged from
_IMAGE_NAMES = ("image", "img", "path", "file", "filename", "file_name", "filepath", "image_path", "picture", "photo")
_LABEL_NAMES = ("label", "class", "category", "target", "y", "labels")
_PART_NAMES = ("split", "part", "subset")
IDX_IMAGES = re.compile(r"(.*?)images[-.]idx3-ubyte(\.gz)?$")

Read = Callable[[int], bytes | np.ndarray]  # the bytes of the file with that number, or its grey pixels (H, W)


@dataclass(frozen=True)
class Examples:
    """Labelled images, not read yet. `read` raises OSError."""

    names: Sequence[str]
    labels: Sequence[str]
    parts: Sequence[str]  # "train", "val", "test", or "" where the data is not split
    read: Read

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Columns:
    """What the user says of a table's columns; None: found by name."""

    image: str | None = None
    label: str | None = None


def find(path: Path, *, image_column: str | None = None, label_column: str | None = None) -> Examples:
    """The labelled images of a file or folder.

    Raises:
        DataProblem: there are none in it, or a table does not say which column is which.
    """
    columns = Columns(image_column, label_column)
    suffix = path.suffix.lower()
    if path.is_dir():
        found = _in_tree(Folder(path), columns)
    elif suffix == ".parquet":
        found = _parquet([path], columns)
    elif suffix in TABLES:
        found = _tables([path.name], Folder(path.parent), columns)
    elif IDX_IMAGES.search(path.name):
        found = _idx(Folder(path.parent), [path.name])
    elif zipfile.is_zipfile(path):
        found = _in_tree(Archive(path), columns)
    else:
        raise DataProblem(
            f'"{path.name}" holds no images that can be learnt from: give a folder (or zip) with a folder of images '
            "for each class, a CSV with a column of paths and one of labels, a Parquet file with images, or MNIST's "
            "IDX files."
        )
    if not len(found):
        raise DataProblem(f'There are no images in "{path.name}".')
    return found


def unlabelled(path: Path) -> tuple[Sequence[str], Read]:
    """(names, read) of the images of a file or folder, in their order: one image, or what `find` takes, but for labels.

    Raises:
        DataProblem: there are none in it.
    """
    suffix = path.suffix.lower()
    if not path.is_dir():
        if suffix == ".parquet":
            return _parquet_images([path], Columns())[:2]
        if suffix in TABLES:
            return _paths_of_table(path.name, Folder(path.parent))
        if suffix in SUFFIXES or not zipfile.is_zipfile(path):
            folder = Folder(path.parent)
            return [path.name], lambda _: folder.read(path.name)
    tree = Folder(path) if path.is_dir() else Archive(path)
    names = tree.list()
    images = [name for name in names if _suffix(name) in SUFFIXES]
    parquet = [name for name in names if _suffix(name) == ".parquet"]
    if not images and parquet and isinstance(tree, Folder):
        return _parquet_images([tree.local(name) for name in parquet], Columns())[:2]
    if not images:
        raise DataProblem(f'There are no images in "{path.name}".')
    return images, lambda number: tree.read(images[number])


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


# --- Folders and zips ------------------------------------------------------------------------------------------------
def _in_tree(tree: Tree, columns: Columns) -> Examples:
    names = tree.list()
    idx = [name for name in names if IDX_IMAGES.search(name)]
    if idx:
        return _idx(tree, idx)
    tables = [name for name in names if _suffix(name) in TABLES]
    if tables:
        if len(tables) > 1 and not all(part_of_file(name) for name in tables):
            raise DataProblem(
                f"There are several tables ({', '.join(tables[:5])}): leave the one that names the images, or call "
                "them train.csv, val.csv and test.csv."
            )
        return _tables(tables, tree, columns)
    parquet = [name for name in names if _suffix(name) == ".parquet"]
    if parquet and isinstance(tree, Folder):
        return _parquet([tree.local(name) for name in parquet], columns)
    images = [name for name in names if _suffix(name) in SUFFIXES]
    labels, parts = in_class_folders(images)
    return Examples(images, labels, parts, lambda number: tree.read(images[number]))


def in_class_folders(images: Sequence[str]) -> tuple[list[str], list[str]]:
    """(labels, parts) of `<class>/<image>`, below a folder a part (`train/<class>/…`) or below one that wraps it all.

    Raises:
        DataProblem: an image lies in no class's folder, or there are none.
    """
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
    return classes, parts_of if has_parts else [""] * len(images)


# --- Tables ----------------------------------------------------------------------------------------------------------
def _tables(names: Sequence[str], tree: Tree, columns: Columns) -> Examples:
    """Tables of paths (in the folder that the table lies in) and labels; of several, each is a part of the data."""
    files: list[str] = []
    labels: list[str] = []
    parts: list[str] = []
    for name in names:
        table = _table(name, tree)
        image_column, label_column = _columns(table.columns, columns, name)
        files += _paths(table, image_column, name)
        for row, label in enumerate(table[label_column].to_list(), 2):  # row 1 is the header
            if label is None or not label.strip():
                raise DataProblem(
                    f'Row {row} of "{name}" has no {label_column}.', details={"row": row, "column": label_column}
                )
            labels.append(label.strip())
        part = next((each for each in table.columns if each.lower() in _PART_NAMES), None)
        if len(names) > 1:
            parts += [part_of_file(name)] * len(table)
        else:
            parts += [PARTS.get(str(each).strip().lower(), "") for each in table[part]] if part else [""] * len(table)
    return Examples(files, labels, parts, lambda number: tree.read(files[number]))


def _paths_of_table(name: str, tree: Tree) -> tuple[Sequence[str], Read]:
    """The images that a table names, one a row; a table of one column has no other."""
    table = _table(name, tree)
    column = table.columns[0] if len(table.columns) == 1 else _image_column(table.columns, None)
    if column is None:
        raise DataProblem(f'Which column of "{name}" holds the paths? Call it {_IMAGE_NAMES[0]}.')
    files = _paths(table, column, name)
    return files, lambda number: tree.read(files[number])


def _paths(table: pl.DataFrame, column: str, name: str) -> list[str]:
    folder = PurePosixPath(name).parent
    found = []
    for row, path in enumerate(table[column].to_list(), 2):
        if path is None or not path.strip():
            raise DataProblem(f'Row {row} of "{name}" has no {column}.', details={"row": row, "column": column})
        found.append((folder / path.strip().replace("\\", "/")).as_posix())
    return found


def _table(name: str, tree: Tree) -> pl.DataFrame:
    """Its cells as text. Raises DataProblem."""
    try:
        content = tree.read(name, limit=MAX_TABLE_BYTES)
        delimiter = "\t" if _suffix(name) == ".tsv" else sniff_delimiter(content[:_HEAD].decode("utf-8", "replace"))
        return pl.read_csv(
            io.BytesIO(content), separator=delimiter, infer_schema=False, truncate_ragged_lines=True, glob=False
        )
    except (PolarsError, PanicException, OSError, ValueError) as error:
        raise DataProblem(f'"{name}" cannot be read as a table: {_first_line(error)}') from error


def _parquet(paths: Sequence[Path], columns: Columns) -> Examples:
    """Images and labels; the parts are told by the files' names."""
    names, read, labels = _parquet_images(paths, columns, with_labels=True)
    lengths = [pl.scan_parquet(path, glob=False).select(pl.len()).collect().item() for path in paths]
    parts = [part for path, length in zip(paths, lengths, strict=True) for part in [part_of_file(path.name)] * length]
    return Examples(names, labels, parts if all(parts) else [""] * len(parts), read)


def _parquet_images(
    paths: Sequence[Path], columns: Columns, *, with_labels: bool = False
) -> tuple[list[str], Read, list[str]]:
    """(names, read, labels) of images as bytes, or as the struct {bytes, path} of the Hugging Face Hub's data sets."""
    file = paths[0].name
    try:
        schema = pl.read_parquet_schema(paths[0])
        held = next((name for name, kind in schema.items() if kind == pl.Binary or isinstance(kind, pl.Struct)), None)
        image_column = columns.image or held
        wanted = [image_column or ""]
        if with_labels:
            image_column, label_column = _columns(list(schema), Columns(image_column, columns.label), file)
            wanted = [image_column, label_column]
        elif image_column is None:
            raise DataProblem(f'"{file}" has no column of images.')
        table = pl.concat([pl.read_parquet(path, columns=wanted, glob=False) for path in paths])
        labels = table[wanted[1]].cast(pl.String) if with_labels else pl.Series([], dtype=pl.String)
    except (PolarsError, PanicException, OSError, ValueError) as error:
        raise DataProblem(f'"{file}" cannot be read as a Parquet file: {_first_line(error)}') from error
    if labels.null_count():
        row = int(labels.is_null().arg_max() or 0) + 1
        raise DataProblem(f"Row {row} has no {wanted[1]}.", details={"row": row, "column": wanted[1]})
    images = table[wanted[0]]
    if isinstance(images.dtype, pl.Struct):
        names = [field.name for field in images.dtype.fields]
        if "bytes" not in names:
            raise DataProblem(f'Column "{wanted[0]}" holds no images: its parts are {names}.')
        images = images.struct.field("bytes")
    if images.dtype != pl.Binary:
        raise DataProblem(f'Column "{wanted[0]}" holds {images.dtype}, not the bytes of images.')
    rows = [f"row {row + 1}" for row in range(len(table))]

    def read(number: int) -> bytes:
        content = images[number]
        if content is None or len(content) > MAX_IMAGE_BYTES:
            raise OSError(f"{rows[number]} has no image, or one of more than {MAX_IMAGE_BYTES} bytes")
        return bytes(content)

    return rows, read, labels.to_list()


def _image_column(names: Sequence[str], asked: str | None) -> str | None:
    lower: Mapping[str, str] = {name.lower().strip(): name for name in reversed(names)}
    return asked or next((lower[name] for name in _IMAGE_NAMES if name in lower), None)


def _columns(names: Sequence[str], asked: Columns, file: str) -> tuple[str, str]:
    """The columns of images and of labels."""
    for name in (asked.image, asked.label):
        if name is not None and name not in names:
            raise DataProblem(f'"{file}" has no column "{name}"; it has {", ".join(names)}.', details={"column": name})
    lower: Mapping[str, str] = {name.lower().strip(): name for name in reversed(names)}
    image = _image_column(names, asked.image)
    label = asked.label or next((lower[name] for name in _LABEL_NAMES if name in lower and lower[name] != image), None)
    if len(names) == 2:
        image = image or next(name for name in names if name != label)
        label = label or next(name for name in names if name != image)
    if image is None or label is None:
        field = "image_column" if image is None else "label_column"
        raise DataProblem(f'Which column of "{file}" is it? Set {field} to one of {", ".join(names)}.')
    return image, label


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- IDX -------------------------------------------------------------------------------------------------------------
def _idx(tree: Tree, image_files: Sequence[str]) -> Examples:
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
    return Examples(names, labels, parts, lambda number: together[number])


def _idx_array(tree: Tree, name: str, *, dimensions: int) -> np.ndarray:
    try:
        content = tree.read(name, limit=MAX_IDX_BYTES)
        if name.endswith(".gz"):
            with gzip.open(io.BytesIO(content)) as file:
                content = bounded(file, name, MAX_IDX_BYTES)
        header = struct.unpack_from(f">4B{dimensions}I", content)
        shape = header[4:]
        expected = 4 + 4 * dimensions + int(np.prod(shape, dtype=object))
        if header[:4] != (0, 0, 8, dimensions) or len(content) != expected:
            raise ValueError("its header does not fit its length")
    except (OSError, EOFError, struct.error, zlib.error, ValueError) as error:
        raise DataProblem(f'"{name}" is no whole IDX file: {error}') from error
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
