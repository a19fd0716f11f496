"""Hyperparameters that name files: opened where data is opened, and nowhere else."""

from typing import Any, TypeVar

from pydantic import BaseModel

from datasets_app import paths

Config = TypeVar("Config", bound=BaseModel)


def named_files(*, user: Any, config: BaseModel) -> dict[str, paths.DataRef]:
    """{field: what it names}, of the fields that name a file or folder and are given.

    Raises:
        InvalidSpec: it does not exist for this user; the sentence stands under `hyperparameters.<field>`.
    """
    given = {name: getattr(config, name) for name in getattr(type(config), "path_fields", ())}
    return {
        name: paths.resolve(user=user, text=text, field=f"hyperparameters.{name}")
        for name, text in given.items()
        if text is not None
    }


def with_local_files(*, user: Any, config: Config) -> Config:
    """The config with local paths in place of what the caller wrote. Raises InvalidSpec, DatasetError, StorageError."""
    local = {name: str(reference.local()) for name, reference in named_files(user=user, config=config).items()}
    return config.model_copy(update=local) if local else config
