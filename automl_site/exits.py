"""Ending a process whose work is done."""

import logging
import os
import sys
from typing import NoReturn


def exit_now(status: int = 0) -> NoReturn:
    """End without tearing the interpreter down: with the numeric libraries loaded that takes up to seconds of CPU,
    while the one who stops us counts them. Whoever calls this has written and closed what must last."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
