"""Every kind of image becomes the same upright square; corrupt ones are named, counted, and fatal from 1 % on."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainers.conftest import Recorder
from tests.trainers.vision.conftest import picture, png
from trainers.protocol import DataProblem, Stopped
from trainers.vision.augment import Augmentation
from trainers.vision.pixels import Unreadable, decode, decode_all, look
from trainers.vision.sources import find


def mean_colour(content: bytes, side: int = 16) -> list[int]:
    return decode(content, side).reshape(-1, 3).mean(axis=0).round().astype(int).tolist()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_every_format_is_read(form: str) -> None:
    content = png(Image.new("RGB", (40, 30), (200, 100, 50)), form)
    assert decode(content, 32).shape == (32, 32, 3)
    assert mean_colour(content) == pytest.approx([200, 100, 50], abs=4)


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("L", (9, 9), 90), [90, 90, 90]),
        (Image.new("1", (9, 9), 1), [255, 255, 255]),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), [255, 255, 255]),
        (Image.new("LA", (9, 9), (0, 255)), [0, 0, 0]),
        (Image.fromarray(np.full((9, 9), 65535 // 2, np.uint16)), [127, 127, 127]),
        (Image.new("RGB", (9, 9), (10, 20, 30)).convert("P"), [10, 20, 30]),
    ],
)
def test_every_mode_is_brought_to_colour_on_white(image: Image.Image, colour: list[int]) -> None:
    assert mean_colour(png(image)) == pytest.approx(colour, abs=26 if image.mode == "P" else 1)


def test_a_photo_is_turned_as_its_camera_was_held() -> None:
    image = Image.new("RGB", (64, 64), "black")
    image.paste("white", (0, 0, 64, 32))
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    upright = decode(buffer.getvalue(), 32)
    assert upright[:, :12].mean() < 40 and upright[:, -12:].mean() > 215


def test_the_middle_of_a_wide_image_is_kept() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    assert decode(png(image), 20).min() > 200  # its edge is a little grey


def test_a_bomb_of_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.vision.pixels.MAX_PIXELS", 1000)
    with pytest.raises(Unreadable, match="64 x 64 pixels"):
        decode(png(picture("disc", 1, 64)), 32)


def test_corrupt_files_below_one_percent_are_named_and_left_out(
    class_folders: Callable[..., Path], tmp_path: Path, recorder: Recorder
) -> None:
    root = class_folders(60)
    (root / "disc" / "7.png").write_bytes((root / "disc" / "7.png").read_bytes()[:80])
    examples = find(root)
    pixels, readable = decode_all(examples, 36, tmp_path, recorder, upto=0.1)
    assert pixels.shape == (120, 36, 36, 3)
    assert len(readable) == 119
    assert "1 of 120 images cannot be read: disc/7.png; they are left out" in recorder.text("WARN")
    assert recorder.fractions[-1] == pytest.approx(0.1)


def test_from_one_percent_on_they_are_fatal(
    class_folders: Callable[..., Path], tmp_path: Path, recorder: Recorder
) -> None:
    root = class_folders(10)
    (root / "disc" / "7.png").write_bytes(b"no image")
    with pytest.raises(DataProblem, match="1 of 20 images cannot be read: disc/7.png. Mend or remove them."):
        decode_all(find(root), 36, tmp_path, recorder, upto=0.1)


def test_a_table_whose_images_are_not_there_says_where_they_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\ncats/1.png,cat\ndogs/1.png,dog\n")
    with pytest.raises(DataProblem, match="cats/1.png\" is not there: a table's paths are looked for in the folder"):
        look(find(tmp_path / "list.csv"))


def test_it_stops_while_it_decodes(class_folders: Callable[..., Path], tmp_path: Path) -> None:
    stopped = Recorder(tmp_path / "checkpoint", stop_after=1)
    with pytest.raises(Stopped):
        decode_all(find(class_folders(60)), 36, tmp_path, stopped, upto=0.1)
    assert stopped.fractions[0] < 0.1


def test_many_images_lie_in_a_file_without_a_name(
    class_folders: Callable[..., Path], tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.vision.pixels.IN_MEMORY", 1000)
    folder = tmp_path / "out"
    folder.mkdir()
    examples = find(class_folders(2))
    mapped, readable = decode_all(examples, 36, folder, recorder, upto=0.1)
    assert isinstance(mapped, np.memmap) and not list(folder.iterdir())
    assert (mapped[3] == decode(examples.read(3), 36)).all()
    assert readable.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("side", "size"), [(8, 28), (28, 28), (33, 36), (64, 64), (100, 96), (500, 224)])
def test_a_size_is_found_from_the_images(tmp_path: Path, side: int, size: int) -> None:
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.png").write_bytes(png(Image.new("L", (side, side + 5))))
    assert look(find(tmp_path)) == (size, True)


def test_augmentation_depends_on_seed_epoch_and_image_only() -> None:
    images = np.stack([np.asarray(picture("disc", number, 36)) for number in range(6)])
    for strength in ("none", "light", "strong"):
        change = Augmentation(strength, True, 32)
        together = change.batch(images, [0, 1, 2, 3, 4, 5], seed=1, epoch=2)
        alone = change.batch(images[4:5], [4], seed=1, epoch=2)
        assert together.shape == (6, 32, 32, 3)
        assert (together[4] == alone[0]).all()
        other = change.batch(images, [0, 1, 2, 3, 4, 5], seed=1, epoch=3)
        assert (together == other).all() == (strength == "none")
