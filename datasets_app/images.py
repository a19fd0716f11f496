"""Uploaded images, and zips of images or texts. What is in them is told from names and headers; nothing is decoded."""

import struct
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from automl_site.errors import DatasetError
from datasets_app.analysis import EXAMPLES, Analysis, json_value
from datasets_app.models import Dataset
from trainers.protocol import DataProblem
from trainers.text import corpus
from trainers.vision.sources import IDX_IMAGES, SUFFIXES, TABLES, in_class_folders
from trainers.vision.trees import Archive

ZIP_MAGIC = b"PK\x03\x04"
OFFICE = "[Content_Types].xml"  # in every workbook and document of Office, which may hold pictures too
ZIP_SUFFIX = ".zip"  # other files that are zips inside (.whl, .odt, .epub) hold texts that nobody wants to learn from
# How a file of each kind begins; what a text may begin with too counts only under one of these suffixes.
IMAGE_MAGICS = {
    b"\x89PNG\r\n\x1a\n": ("PNG", ()),
    b"\xff\xd8\xff": ("JPEG", ()),
    b"GIF87a": ("GIF", ()),
    b"GIF89a": ("GIF", ()),
    b"II*\0": ("TIFF", ()),
    b"MM\0*": ("TIFF", ()),
    b"RIFF": ("WEBP", (".webp",)),
    b"BM": ("BMP", (".bmp",)),
    b"P5": ("PGM", (".pgm",)),
    b"P6": ("PPM", (".ppm",)),
}
_KINDS = sorted({kind for kind, _ in IMAGE_MAGICS.values()})
FORMATS = (Dataset.Format.ZIP, Dataset.Format.IMAGE)
NAME_CHARACTERS = 80
MAX_DIRECTORY_BYTES = 32 * 1024 * 1024  # of a zip, in a web process: the list of some 300,000 files
MAX_IDX_IMAGES = 100_000_000
RARE_NAMED = 5


def detect_format(path: Path, *, filename: str, wanted: str | None) -> str | None:
    """ "zip" or "image", by content and what the caller says; None: it is neither.

    Raises:
        DatasetError: it ought to be what the caller says, or holds too many files.
    """
    with path.open("rb") as file:
        head = file.read(len(ZIP_MAGIC))
    is_zip = wanted in (None, "zip") and head == ZIP_MAGIC and zipfile.is_zipfile(path)
    if is_zip:
        archive = _archive(path, filename)
        named = wanted == "zip" or PurePosixPath(filename).suffix.lower() == ZIP_SUFFIX
        if _images(archive) or (named and _texts(archive)):
            return "zip"
    if wanted == "zip":
        raise _error(filename, "is no zip archive with images, texts or tables in it.")
    if wanted in (None, "image") and _kind(path, filename):
        return "image"
    if wanted == "image":
        raise _error(filename, f"is no image of a kind that is read: {', '.join(_KINDS)}.")
    return None


def analyse(path: Path, *, filename: str, format: str) -> Analysis:
    """How many images or texts there are, and of which classes. Raises DatasetError."""
    found = _listed(path, filename, format)
    return Analysis(
        rows=found.rows,
        columns=list(found.columns),
        schema={name: _column(name, found.kind, values) for name, values in found.columns.items()},
        text_column=None,
        stats={"avg_length": None, "min_length": None, "max_length": None},
        warnings=found.warnings,
        dialect={},
    )


def first_rows(path: Path, *, filename: str, format: str, limit: int) -> list[dict[str, Any]]:
    """The first images or files of texts, with their classes where these are known. Raises DatasetError."""
    columns = _listed(path, filename, format).columns
    rows = zip(*(values[:limit] for values in columns.values()), strict=True)
    return [dict(zip(columns, map(json_value, row), strict=True)) for row in rows]


@dataclass(frozen=True)
class _Listing:
    rows: int
    columns: dict[str, Sequence[str]]  # image or file, and label where it is known: names, at least the first ones
    warnings: list[str]
    kind: str = "file"


def _listed(path: Path, filename: str, format: str) -> _Listing:
    if format == Dataset.Format.IMAGE:
        return _Listing(1, {"image": [filename]}, [], kind=_kind(path, filename) or "file")
    archive = _archive(path, filename)
    names = _images(archive)
    idx = [name for name in names if IDX_IMAGES.search(name)]
    if idx:
        return _Listing(sum(_idx_length(archive, name) for name in idx) or len(idx), {"image": idx}, [])
    if not names:
        return _listed_texts(_texts(archive), filename)
    tables = [name for name in archive.list() if PurePosixPath(name).suffix.lower() in TABLES]
    if tables:
        return _Listing(len(names), {"image": names}, [f"The classes are looked for in {', '.join(tables[:5])}."])
    try:
        labels, _ = in_class_folders(names)
    except DataProblem:
        warning = "Not every image lies in a folder of its class: good to predict on, not to learn from."
        return _Listing(len(names), {"image": names}, [warning])
    rare = [label for label, count in Counter(labels).items() if count < 2]
    more = " …" if len(rare) > RARE_NAMED else ""
    warnings = [f"Classes with one image only: {', '.join(rare[:RARE_NAMED])}{more}"] if rare else []
    return _Listing(len(names), {"image": names, "label": labels}, warnings)


def _listed_texts(names: list[str], filename: str) -> _Listing:
    """A row a file: a training looks into them, and finds a document in each text and in each row of a table."""
    if not names:
        raise _error(filename, "is no zip archive with images, texts or tables in it.")
    tables = [name for name in names if corpus.is_table(name)]
    if tables:
        return _Listing(len(names), {"file": names}, [f"Rows are read from {', '.join(tables[:5])}."])
    try:
        labels, _ = in_class_folders(names)
    except DataProblem:
        return _Listing(len(names), {"file": names}, [])
    if len(set(labels)) < 2:  # the folder that was zipped
        return _Listing(len(names), {"file": names}, [])
    return _Listing(len(names), {"file": names, "label": labels}, [])


def _texts(archive: Archive) -> list[str]:
    """Texts and tables by their names. What an office document is made of are none."""
    names = archive.list()
    if OFFICE in names:
        return []
    return [name.as_posix() for name in corpus.chosen([PurePosixPath(name) for name in names])]


def _archive(path: Path, filename: str) -> Archive:
    try:
        return Archive(path, max_directory_bytes=MAX_DIRECTORY_BYTES)
    except DataProblem as problem:
        raise DatasetError(problem.message.replace(path.name, filename), details={"file": filename}) from problem


def _images(archive: Archive) -> list[str]:
    """Images by their names, and IDX files. What an office document is made of are none."""
    names = archive.list()
    if OFFICE in names:
        return []
    return [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES or IDX_IMAGES.search(name)]


def _idx_length(archive: Archive, name: str) -> int:
    """How many images an IDX file's header promises; 0 where it is packed, or none."""
    try:
        with archive.open(name) as file:
            magic, count = struct.unpack(">II", file.read(8))
    except (OSError, struct.error):
        return 0
    return min(int(count), MAX_IDX_IMAGES) if magic == 0x803 else 0


def _kind(path: Path, filename: str) -> str | None:
    """ "PNG", "JPEG", …, by how the file begins; None where it is no image."""
    with path.open("rb") as file:
        head = file.read(16)
    suffix = PurePosixPath(filename).suffix.lower()
    for magic, (kind, suffixes) in IMAGE_MAGICS.items():
        if head.startswith(magic) and (not suffixes or suffix in suffixes):
            return kind
    return None


def _column(name: str, kind: str, values: Sequence[str]) -> dict[str, Any]:
    different = list(dict.fromkeys(values))
    return {
        "kind": "category" if name == "label" else name,
        "dtype": "string" if name == "label" else kind,
        "missing": 0,
        "distinct": len(different),
        "examples": [json_value(value, max_characters=NAME_CHARACTERS) for value in different[:EXAMPLES]],
    }


def _error(filename: str, sentence: str) -> DatasetError:
    return DatasetError(f"{filename} {sentence}", details={"file": filename})
