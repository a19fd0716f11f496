"""The models that an inference process keeps loaded, of any framework, within a number of bytes."""

import importlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from automl_site.errors import NotFound
from datasets_app.storage import get_storage
from jobs.failures import is_out_of_memory
from jobs.models import TrainedModel
from jobs.traces import resident_bytes
from trainers import registry
from trainers.protocol import Predictor, TrainerError

logger = logging.getLogger(__name__)

SHARE_OF_MEMORY = 0.25  # of the machine's, where the operator sets no number of bytes

Result = TypeVar("Result")


@dataclass(frozen=True)
class Loaded:
    """`size`, in bytes, is what the process grew by, or what the model's files take, if that is more."""

    predictor: Predictor
    size: int


class ModelCache:
    """Loaded models, the least recently used dropped first. One that is larger than all of the cache is alone in it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()

    @property
    def bytes(self) -> int:
        return sum(each.size for each in self._loaded.values())

    def get(self, model: TrainedModel) -> Predictor:
        """The model, ready to predict.

        Raises:
            NotFound: its files are gone.
            ImportError: its framework is missing here, or broken.
            ModelProblem: they are damaged.
        """
        if model.public_id not in self._loaded:
            try:
                folder = get_storage().local_folder(f"models/{model.public_id}")
            except FileNotFoundError as error:
                raise NotFound(f"The files of model '{model.public_id}' are gone; train it again.") from error
            _import_trainer(model)  # whose framework stays, and is no part of this model's size
            self._make_room(model.size_bytes)
            before = resident_bytes()
            predictor = self.with_room(lambda: registry.load(folder))
            self._loaded[model.public_id] = Loaded(predictor, max(model.size_bytes, resident_bytes() - before))
            self._make_room(0)
        self._loaded.move_to_end(model.public_id)
        return self._loaded[model.public_id].predictor

    def with_room(self, action: Callable[[], Result], *, spare: str = "") -> Result:
        """Do what may need more memory than is free: if it does, drop all models but `spare`, and do it once more."""
        try:
            return action()
        except Exception as error:
            if not is_out_of_memory(error) or not set(self._loaded) - {spare}:
                raise
            logger.warning("There is too little memory; the models kept loaded make room")
        # Only now, when the exception and what its frames held are gone.
        for public_id in set(self._loaded) - {spare}:
            del self._loaded[public_id]
        return action()

    def _make_room(self, size: int) -> None:
        """Drop models until another of `size` bytes fits; with 0, until all fit, but never the newest."""
        least = 0 if size else 1
        while len(self._loaded) > least and self.bytes + size > self._max_bytes:
            self._loaded.popitem(last=False)


def cache_bytes(configured: int, memory_bytes: int) -> int:
    """How many bytes of models to keep: what the operator set, else a share of the machine's memory."""
    return configured or int(memory_bytes * SHARE_OF_MEMORY)


def _import_trainer(model: TrainedModel) -> None:
    """Raises ImportError, whatever a broken installation raises."""
    try:
        module = registry.get(model.model_type).module
    except TrainerError:
        return  # of no known type: loading says so
    try:
        importlib.import_module(module)
    except ImportError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ImportError("the framework of the model is broken", name=module) from error
