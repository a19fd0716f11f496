"""Small images of two kinds that a network tells apart at once: discs and crosses, in random places and colours."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

KINDS = ("cross", "disc")


def picture(kind: str, number: int, side: int = 32) -> Image.Image:
    random = np.random.default_rng([KINDS.index(kind), number])
    image = Image.new("RGB", (side, side), tuple(random.integers(0, 80, 3).tolist()))
    draw = ImageDraw.Draw(image)
    colour = tuple(random.integers(150, 256, 3).tolist())
    x, y = random.integers(side // 4, side - side // 4, 2).tolist()
    reach = side // 5
    if kind == "disc":
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
    else:
        draw.line((x - reach, y, x + reach, y), fill=colour, width=2)
        draw.line((x, y - reach, x, y + reach), fill=colour, width=2)
    return image


def png(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def class_folders(tmp_path: Path) -> Callable[..., Path]:
    """class_folders(count=…, below="") -> a folder with `count` images of each kind in a folder of its name."""

    def make(count: int = 12, below: str = "", root: str = "images") -> Path:
        for kind in KINDS:
            folder = tmp_path / root / below / kind
            folder.mkdir(parents=True)
            for number in range(count):
                folder.joinpath(f"{number}.png").write_bytes(png(picture(kind, number)))
        return tmp_path / root

    return make
