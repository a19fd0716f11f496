"""`model.json`: what a model's folder holds, with a checksum of each file. Needs no framework."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainers.files import sync, write_json_atomically
from trainers.protocol import ModelProblem

FORMAT_VERSION = 1


def seal(folder: Path, manifest: Mapping[str, Any], files: Sequence[str]) -> None:
    """Write the manifest, after all else is safe on the disk: a folder that has one is whole. Raises OSError."""
    sums = {}
    for name in files:
        path = folder / name
        sync(path)
        sums[name] = {"bytes": path.stat().st_size, "sha256": _sum(path)}
    sync(folder)
    write_json_atomically(folder / "model.json", {"format_version": FORMAT_VERSION, **manifest, "files": sums})


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Raises ModelProblem unless every file is as it was when the manifest was written."""
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelProblem(f"The model has format version {str(version)[:20]}; this release reads {FORMAT_VERSION}.")
    try:
        for name, expected in manifest["files"].items():
            if _sum(folder / Path(name).name) != expected["sha256"]:
                raise ModelProblem(f"{name} is not the file that the model's manifest describes.")
    except (OSError, KeyError, TypeError, AttributeError) as error:
        raise ModelProblem("The model's files are damaged or incomplete.") from error


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
