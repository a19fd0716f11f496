"""What a file is, by its name: how it is listed, and how it may be previewed. Its bytes have the last word there."""

from pathlib import PurePosixPath

# Images that browsers draw without running anything in them. SVG is text: it may hold scripts.
IMAGES = ("png", "jpg", "jpeg", "gif", "webp", "bmp")
AUDIO = ("wav", "mp3", "ogg", "oga", "flac", "m4a")
VIDEO = ("mp4", "webm", "m4v")
TABLES = ("csv", "tsv", "parquet", "jsonl", "ndjson")
ARCHIVES = ("zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z")
MODELS = (
    "pt", "pth", "ckpt", "safetensors", "onnx", "gguf", "h5", "keras", "pkl", "joblib", "skops", "ubj", "npz", "npy",
)  # fmt: skip
TEXTS = (
    "txt", "md", "rst", "log", "json", "yaml", "yml", "toml", "ini", "cfg", "conf", "xml", "html", "htm", "svg", "css",
    "js", "mjs", "ts", "tsx", "jsx", "py", "pyi", "ipynb", "r", "jl", "c", "h", "cc", "cpp", "hpp", "cu", "java", "go",
    "rs", "sh", "bash", "sql", "diff", "patch", "tex", "bib", "env", "lock", "properties", "dockerfile", "makefile",
)  # fmt: skip

_LABELS = {
    "image": "Image",
    "audio": "Audio",
    "video": "Video",
    "table": "Table",
    "archive": "Archive",
    "model": "Model",
    "text": "Text",
    "pdf": "PDF",
    "other": "File",
}
_KIND_OF = {
    suffix: kind
    for kind, suffixes in (
        ("image", IMAGES),
        ("audio", AUDIO),
        ("video", VIDEO),
        ("table", TABLES),
        ("archive", ARCHIVES),
        ("model", MODELS),
        ("text", TEXTS),
        ("pdf", ("pdf",)),
    )
    for suffix in suffixes
}


def suffix_of(path: str) -> str:
    """ "png" of "plots/loss.PNG"; of a name without a dot the name itself ("makefile")."""
    name = PurePosixPath(path).name.lower()
    return name.rpartition(".")[2]


def kind_of(path: str) -> str:
    """One of image, audio, video, table, archive, model, text, pdf, other."""
    return _KIND_OF.get(suffix_of(path), "other")


def kind_label(path: str) -> str:
    """The kind in a word or two, with the suffix where it says more: "Image (PNG)"."""
    kind, suffix = kind_of(path), suffix_of(path)
    if kind in ("pdf", "other") or len(suffix) > 8:
        return _LABELS[kind]
    return f"{_LABELS[kind]} ({suffix.upper()})"
