"""Images as one array of squares: decoded once, by all cores, into memory or a file that is mapped into it."""

import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainers.protocol import DataProblem, Reporter, Stopped
from trainers.vision.sources import Examples

MAX_PIXELS = 200_000_000  # of one image; more is taken for an attack
MAX_CORRUPT = 0.01  # share of the images
NAMED = 20  # corrupt files that the log names
SAMPLED = 64  # images that sizes and colours are judged from
SMALL = 64  # pixels: up to here, networks keep the size in their first layer
LARGEST = 224
MARGIN = 1.14  # what is kept beyond the size that the network sees, for crops: 256 for 224
IN_MEMORY = 2 * 1024**3  # bytes; more goes into a file
AHEAD = 4  # images a thread that are decoded between two looks at whether to stop


class Unreadable(Exception):
    """It is no whole image; the text says what the decoder said."""


def decode(content: bytes | np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) unsigned bytes: upright, on white where it was transparent, the middle of the longer side.

    Raises Unreadable.
    """
    try:
        return _decode(content, side)
    except (MemoryError, Stopped):
        raise
    except Exception as error:  # of a damaged file a decoder raises whatever it stumbles upon
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _decode(content: bytes | np.ndarray, side: int) -> np.ndarray:
    if isinstance(content, np.ndarray):
        image = Image.fromarray(content)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata; a damaged image raises
            image = Image.open(io.BytesIO(content))
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            image.draft("RGB", (side, side))  # a JPEG is decoded at a fraction of its size where that is enough
            image.load()
            image = ImageOps.exif_transpose(image)
    image = ImageOps.fit(_as_rgb(image), (side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16 or 32 bits
        values = np.asarray(image, np.float64)
        highest = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((np.clip(values / highest, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def look(examples: Examples) -> tuple[int, bool]:
    """(a size for the network, whether all are grey), judged from some images spread over all."""
    places = np.unique(np.linspace(0, len(examples) - 1, min(len(examples), SAMPLED)).astype(int))
    sides, grey, missing = [], True, 0
    for place in places.tolist():
        try:
            content = examples.read(place)
            side, is_grey = _shape(content)
        except FileNotFoundError:
            missing += 1
        except (OSError, Unreadable):
            continue
        else:
            sides.append(side)
            grey = grey and is_grey
    if not sides:
        why = (
            "is not there: a table's paths are looked for in the folder (or zip) that the table lies in"
            if missing == len(places)
            else "for one"
        )
        raise DataProblem(f'None of the images can be read; "{examples.names[0]}" {why}.')
    side = int(np.median(sides))
    if side <= SMALL:
        return max(28, -(-side // 4) * 4), grey
    return min(LARGEST, max(96, side // 32 * 32)), grey


def _shape(content: bytes | np.ndarray) -> tuple[int, bool]:
    """(the shorter side, whether it is grey) of an image that need not be whole. Raises Unreadable."""
    if isinstance(content, np.ndarray):
        return min(content.shape), True
    try:
        with Image.open(io.BytesIO(content)) as image:
            return min(image.size), image.mode in ("1", "L", "I", "I;16", "I;16B", "F")
    except (MemoryError, Stopped):
        raise
    except Exception as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def side_kept(size: int) -> int:
    """The side of what is kept of an image that the network sees `size` pixels of."""
    return size + 4 if size <= SMALL else round(size * MARGIN)


def decode_all(
    examples: Examples, side: int, folder: Path, reporter: Reporter, *, upto: float
) -> tuple[np.ndarray, np.ndarray]:
    """(the images of all examples (n, side, side, 3), the places of those that could be read).

    `upto` is where on the bar it ends.

    Raises:
        DataProblem: 1 % of them or more are corrupt, or there is no room for them.
        Stopped: it was asked to.
    """
    total = len(examples)
    pixels = _room(total, side, folder)
    corrupt: list[int] = []

    def one(place: int) -> None:
        try:
            pixels[place] = decode(examples.read(place), side)
        except (OSError, Unreadable):
            corrupt.append(place)

    threads = len(os.sched_getaffinity(0))  # Pillow decodes without Python's lock
    with ThreadPoolExecutor(threads) as pool:
        for begin in range(0, total, AHEAD * threads):
            end = min(begin + AHEAD * threads, total)
            list(pool.map(one, range(begin, end)))
            reporter.progress(upto * end / total, "reading the images")
            if reporter.should_stop():
                raise Stopped
    kept = np.setdiff1d(np.arange(total), corrupt)
    if corrupt:
        _tell_corrupt(examples, sorted(corrupt), reporter)
    return pixels, kept


def _tell_corrupt(examples: Examples, corrupt: Sequence[int], reporter: Reporter) -> None:
    named = [examples.names[place] for place in corrupt[:NAMED]]
    more = f" and {len(corrupt) - NAMED} more" if len(corrupt) > NAMED else ""
    sentence = f"{len(corrupt)} of {len(examples)} images cannot be read: {', '.join(named)}{more}"
    if len(corrupt) >= MAX_CORRUPT * len(examples):
        raise DataProblem(f"{sentence}. Mend or remove them.", details={"corrupt": named, "count": len(corrupt)})
    reporter.log("WARN", f"{sentence}; they are left out")


def _room(count: int, side: int, folder: Path) -> np.ndarray:
    shape = (count, side, side, 3)
    size = int(np.prod(shape, dtype=np.int64))
    if size <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    free = shutil.disk_usage(folder).free
    if size > free * 0.8:
        raise DataProblem(
            f"{count} images of {side} x {side} pixels take {size / 1e9:.1f} GB; {free / 1e9:.1f} GB of the worker's "
            "disk are free. Use a smaller image_size, or fewer images."
        )
    with tempfile.TemporaryFile(dir=folder) as file:  # without a name: it goes with the process that maps it
        os.posix_fallocate(file.fileno(), 0, size)  # a disk that is full later ends who writes to a mapped file
        return np.memmap(file, np.uint8, "r+", shape=shape)
