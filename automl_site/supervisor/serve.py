"""The web process: uvicorn on a listening socket that it is handed, so that a restart loses no connection."""

import socket
import sys

import uvicorn

from automl_site.exits import exit_now

GRACE = 2  # seconds for requests in flight and open sockets when it is told to end


def main() -> None:
    """`python -m automl_site.supervisor.serve FD`"""
    listener = socket.socket(fileno=int(sys.argv[1]))
    config = uvicorn.Config(
        "automl_site.asgi:application",
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        lifespan="off",
        # Addresses carry tokens (?token=), and Django logs what goes wrong by itself.
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ws_max_size=64 * 1024,
    )
    uvicorn.Server(config).run(sockets=[listener])
    exit_now()


if __name__ == "__main__":
    main()
