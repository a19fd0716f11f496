"""What is written anew is there at every moment: as it was, or as it is to be."""

from pathlib import Path

import pytest

from trainers.files import newest_generation, write_generation


def write(folder: Path, number: int, text: str) -> None:
    write_generation(folder, number, lambda draft: (draft / "content").write_text(text))


def newest(folder: Path) -> str | None:
    found = newest_generation(folder)
    return None if found is None else (found / "content").read_text()


def test_the_newest_generation_is_the_only_one(tmp_path: Path) -> None:
    assert newest(tmp_path / "none") is None
    for number, text in ((1, "one"), (2, "two"), (2, "two again"), (12, "twelve")):
        write(tmp_path, number, text)
        assert newest(tmp_path) == text
        assert [path.name for path in tmp_path.iterdir()] == [f"{number:012d}"]


@pytest.mark.parametrize("renames", [0, 1])
def test_who_is_killed_while_a_generation_is_written_once_more_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """A checkpoint of the last step of an epoch is followed by one of the epoch's end, which has the same number."""
    rename, left = Path.rename, renames

    def killed(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return rename(path, target)

    write(tmp_path, 7, "before")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", killed)
        write(tmp_path, 7, "after")
    assert newest(tmp_path) == "before"
    write(tmp_path, 7, "after")
    assert newest(tmp_path) == "after"
    assert [path.name for path in tmp_path.iterdir()] == [f"{7:012d}"]
