"""Where state lies and what the environment says. Used by settings and by the supervisor, before Django is set up."""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

# sockaddr_un.sun_path holds 108 bytes; Valkey wants room for the final NUL and its own suffixes.
SOCKET_PATH_LIMIT = 100


def data_dir(base: Path) -> Path:
    """The folder under which all embedded state lies: `AUTOML_DATA`, or `data/` beside manage.py."""
    return Path(os.environ.get("AUTOML_DATA") or base / "data").expanduser().resolve()


def use_data_argument(arguments: Sequence[str]) -> None:
    """Let `--data DIR` stand for the variable AUTOML_DATA."""
    for position, argument in enumerate(arguments):
        if argument.startswith("--data="):
            os.environ["AUTOML_DATA"] = argument.removeprefix("--data=")
        elif argument == "--data" and position + 1 < len(arguments):
            os.environ["AUTOML_DATA"] = arguments[position + 1]


def secret_key(data: Path) -> str:
    """The secret key of this data folder: made once, readable by its owner only."""
    path = data / "secret_key"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        draft = data / f".secret_key.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(64))
        try:
            # link() never replaces: of two processes starting at once, the first one's key stays.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def valkey_socket(data: Path) -> Path:
    """The embedded Valkey's unix socket: in a 0700 folder of the data directory, or, where that path is too long for a
    socket, in one under the user's runtime (or the temporary) directory, named after the data directory."""
    path = data / "valkey" / "v.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return runtime / f"automl-{os.getuid()}-{digest}" / "v.sock"
