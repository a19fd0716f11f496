"""Hyperparameters that name files: opened where data is opened, and nowhere else."""

import re
from typing import Any, TypeVar

from django.conf import settings
from pydantic import BaseModel

from automl_site.errors import InvalidSpec
from datasets_app import paths

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")

Config = TypeVar("Config", bound=BaseModel)


def named_files(*, user: Any, config: BaseModel) -> dict[str, paths.DataRef]:
    """{field: what it names}, of the fields that name a file or folder and are given.

    Raises:
        InvalidSpec: it does not exist for this user; the sentence stands under `hyperparameters.<field>`.
    """
    found = {}
    for name in getattr(type(config), "path_fields", ()):
        text, field = getattr(config, name), f"hyperparameters.{name}"
        if text is None:
            continue
        if name not in getattr(type(config), "base_models", ()) or text.startswith("/"):
            found[name] = paths.resolve(user=user, text=text, field=field)
        elif (model := _in_model_folder(user, text, field)) is not None:
            found[name] = model
    return found


def _in_model_folder(user: Any, name: str, field: str) -> paths.DataRef | None:
    """The folder of a base model; None where it is to be fetched from the Hub, by the worker. Raises InvalidSpec."""
    try:
        return paths.resolve(user=user, text=f"/models/{name}", field=field)
    except InvalidSpec as error:
        if settings.HUB_ALLOWED and _HUB_ID.fullmatch(name):
            return None
        hub = "" if settings.HUB_ALLOWED else ", and this platform does not ask the Hugging Face Hub (AUTOML_HUB)"
        sentence = (
            f'"{name[:100]}" is not in the model folder (/models/…){hub}. Put its files there, or name a model trained '
            "here."
        )
        raise InvalidSpec(errors={field: [sentence]}) from error


def with_local_files(*, user: Any, config: Config) -> Config:
    """The config with local paths in place of what the caller wrote. Raises InvalidSpec, DatasetError, StorageError."""
    local = {name: str(reference.local()) for name, reference in named_files(user=user, config=config).items()}
    return config.model_copy(update=local) if local else config
