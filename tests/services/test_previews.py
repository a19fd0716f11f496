"""What is shown of a file: bounded, harmless, and honest where its bytes are not what its name says."""

import io
import struct
import wave
import zlib

import polars as pl
import pytest

from jobs.selectors import previews
from jobs.selectors.previews import media_type, preview_of
from jobs.services.artifacts import artifact_put
from tracking.services.projects import project_create
from tracking.services.runs import run_create

pytestmark = pytest.mark.django_db


def png() -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0abc")) + chunk(b"IEND", b"")


def wav() -> bytes:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(8000)
        writer.writeframes(b"\x80" * 80)
    return sound.getvalue()


@pytest.fixture
def kept(user):
    run = run_create(project=project_create(owner=user, name="garden"), name="rose", config={}, tags=[])

    def kept(path, content):
        return artifact_put(user=user, run_id=run.pk, path=path, file=io.BytesIO(content))[0]

    return kept


@pytest.mark.parametrize("path", ["page.html", "plot.svg", "train.py", "notes", "x.bin"])
def test_text_is_shown_as_its_source(kept, path):
    preview = preview_of(kept(path, "<svg onload='alert(1)'>\r\nü\n".encode()))
    assert (preview.kind, list(preview.lines), preview.note) == ("text", ["<svg onload='alert(1)'>", "ü"], "")


def test_a_long_text_is_cut_in_lines_and_in_length(kept):
    many = preview_of(kept("a.log", b"line\n" * 2000))
    assert (len(many.lines), many.note) == (previews.MAX_LINES, "The first 1,000 lines.")
    wide = preview_of(kept("b.log", b"x" * 1_000_000))
    assert (len(wide.lines), len(wide.lines[0])) == (1, previews.MAX_LINE + 1)
    cut_through = "ü" * previews.HEAD_BYTES
    assert "\ufffd" not in preview_of(kept("c.txt", b"." + cut_through.encode())).lines[0]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("model.pt", b"PK\0\x03"),
        ("x", b"\xff\xfe\xfd"),
        ("doc.pdf", b"%PDF-1.7"),
        ("x.txt", b"a\0b"),
        ("empty.txt", b""),
    ],
)
def test_what_is_no_text_is_said_to_be_none(kept, path, content):
    preview = preview_of(kept(path, content))
    assert preview.kind == ("text" if path == "x" and content.startswith(b"\xff\xfe") else "none")
    assert preview.kind == "text" or preview.note


@pytest.mark.parametrize(
    ("path", "content", "columns", "first"),
    [
        ("a.csv", b"name,size\nrose,3\n\ntulip,4\n", ["name", "size"], ["rose", "3"]),
        ("a.tsv", b"name\tsize\nrose\t3\n", ["name", "size"], ["rose", "3"]),
        ("a.jsonl", b'{"name":"rose"}\n{"name":"x","more":[1]}\n', ["name", "more"], ["rose", None]),
        ("a.json", b'[{"name":"rose","ok":true}]', ["name", "ok"], ["rose", "true"]),
    ],
)  # fmt: skip
def test_records_are_shown_as_a_table(kept, path, content, columns, first):
    preview = preview_of(kept(path, content))
    assert (preview.kind, preview.note) == ("table", "")
    assert (list(preview.columns), list(preview.rows[0])) == (columns, first)


def test_the_first_rows_and_columns_of_a_large_parquet_file_are_shown(kept):
    table = io.BytesIO()
    columns = {f"c{n}": list(range(1000)) for n in range(60)} | {"nested": [[1]] * 1000}
    pl.DataFrame(columns).write_parquet(table)
    preview = preview_of(kept("t.parquet", table.getvalue()))
    assert (len(preview.columns), len(preview.rows)) == (previews.MAX_COLUMNS, previews.MAX_ROWS)
    assert preview.rows[49][0] == "49"
    assert preview.note == "The first 50 rows. 21 more columns are not shown."


def test_a_parquet_file_whose_rows_are_large_is_not_opened_further(kept, monkeypatch):
    table = io.BytesIO()
    pl.DataFrame({"a": ["x" * 100] * 100}).write_parquet(table)
    monkeypatch.setattr(previews, "MAX_PARQUET_BYTES", 10)
    assert "too large" in preview_of(kept("t.parquet", table.getvalue())).note


@pytest.mark.parametrize("content", [b"PAR1 and nonsense PAR1", b"name,size\n"])
def test_a_damaged_parquet_file_is_said_to_be_one(kept, content):
    preview = preview_of(kept("t.parquet", content))
    assert preview.kind == "none"
    assert "Parquet" in preview.note


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("deep.json", b"[" * 100_000 + b"]" * 100_000),
        ("nan.json", b'{"loss": NaN}'),
        ("half.jsonl", b'{"a": 1}\n{"a":'),
        ("odd.csv", b'"' + b"x" * 200_000 + b"\n"),
        ("one.csv", b"no table\nat all\n"),
        ("empty.json", b"[]"),
    ],
)
def test_what_is_no_table_is_shown_as_text(kept, path, content):
    assert preview_of(kept(path, content)).kind == "text"


@pytest.mark.parametrize("depth", [10, 300, 1000])
@pytest.mark.parametrize("path", ["a.json", "a.jsonl"])
def test_deep_nests_are_shown_as_far_as_they_can_be(kept, path, depth):
    nest = b"[" * depth + b"]" * depth
    assert preview_of(kept(path, nest)).kind == "text"
    assert preview_of(kept(path, b'{"a": ' + nest + b"}")).kind in ("text", "table")
    assert preview_of(kept(path, b'[{"a": ' + nest + b"}]")).kind in ("text", "table")


def test_a_cut_table_has_whole_rows_only(kept):
    preview = preview_of(kept("a.csv", b"a,b\n" + b"1,2\n" * 200_000))
    assert {tuple(row) for row in preview.rows} == {("1", "2")}
    assert preview.note == "The first 50 rows."


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [("a.PNG", png(), "image/png"), ("b.wav", wav(), "audio/wav"), ("c.jpg", png(), "image/png")],
)
def test_pictures_and_sounds_are_known_by_their_bytes(kept, path, content, kind):
    file = kept(path, content)
    assert media_type(file) == kind
    assert preview_of(file).kind == kind.partition("/")[0]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.png", b"<script>alert(1)</script>"),
        ("a.svg", b"<svg/>"),
        ("a.html", png()),
        ("a.png", wav()),
        ("a.mp4", b"x"),
    ],
)
def test_nothing_else_is_given_to_the_browser_to_draw(kept, path, content):
    assert media_type(kept(path, content)) == ""


def test_a_huge_picture_is_not_drawn(kept, monkeypatch):
    monkeypatch.setattr(previews, "MAX_IMAGE_BYTES", 10)
    file = kept("a.png", png())
    assert media_type(file) == ""
    assert "too large" in preview_of(file).note
