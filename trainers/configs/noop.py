"""The config of `noop`."""

from trainers.configs.base import TrainerConfig


class NoopConfig(TrainerConfig):
    """It has nothing to set."""
