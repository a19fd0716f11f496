"""Real mails, and models so small that they train in a moment."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

MAILS = Path(__file__).resolve().parents[2] / "data" / "spam" / "mails.csv"
TINY: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 16,
    "max_length": 32,
    "num_layers": 1,
    "hidden_size": 32,
    "num_heads": 2,
    "vocab_size": 400,
    "learning_rate": 0.004,
}


@pytest.fixture(scope="session")
def few_mails(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 of the mails, their first 300 characters."""
    path = tmp_path_factory.mktemp("mails") / "few.csv"
    pl.read_csv(MAILS).gather_every(5).with_columns(pl.col("text").str.head(300)).write_csv(path)
    return path
