"""The one readable log: each line with its child's name, on standard error and in a file that is rotated by size."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from automl_site.logs import redact

KEPT_BYTES = 20 * 1024 * 1024
KEPT_FILES = 3
_COLOURS = ("36", "32", "33", "35", "34", "31")  # of names, on a terminal


class Log:
    def __init__(self, path: Path, names: list[str], *, echo: TextIO = sys.stderr) -> None:
        self._path = path
        self._echo = echo
        self._width = max(len(name) for name in [*names, "up"])
        self._colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
        self._open()

    def line(self, name: str, text: str) -> None:
        text = redact(text)
        plain = f"{name:<{self._width}} │ {text}\n"
        with suppress(OSError):  # the disk is full: the line is lost, the platform goes on
            if self._file.closed:
                self._open()
            self._file.write(plain.encode("utf-8", "replace"))
            if self._file.tell() > KEPT_BYTES:
                self._rotate()
        colour = self._colours.get(name, "1") if self._echo.isatty() else ""
        shown = f"\x1b[{colour}m{name:<{self._width}} │\x1b[0m {text}\n" if colour else plain
        try:
            self._echo.write(shown)
            self._echo.flush()
        except OSError:  # the terminal is gone; the file has the line
            self._echo = open(os.devnull, "w")  # noqa: SIM115

    def _rotate(self) -> None:
        self._file.close()
        for number in range(KEPT_FILES - 1, 0, -1):
            older = self._path.with_suffix(f".log.{number}")
            if older.exists():
                older.replace(self._path.with_suffix(f".log.{number + 1}"))
        self._path.replace(self._path.with_suffix(".log.1"))
        self._open()

    def _open(self) -> None:
        self._file = self._path.open("ab", buffering=0)  # nothing that could not be written piles up
        self._path.chmod(0o600)
