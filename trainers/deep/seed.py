"""The seed of a training, also of one that has drawn its own and is resumed. Needs no framework."""

import json
import secrets

from trainers.files import write_json_atomically
from trainers.protocol import Reporter

_FILE = "seed.json"


def seed_of(random_state: int | None, reporter: Reporter) -> int:
    """The seed that is asked for; for None one that is drawn, the same again in a training that goes on."""
    if random_state is not None:
        return random_state
    path = reporter.checkpoint() / _FILE
    try:
        seed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        seed = None
    if not isinstance(seed, int):
        seed = secrets.randbelow(2**32)
        write_json_atomically(path, seed)
    return seed
