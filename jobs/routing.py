"""The job-queue contract's routing table, as data: which worker trains which model type. Knows no Django."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class QueueSpec:
    """A queue and what a worker must have to serve it. The number in a queue's name is a minimum."""

    name: str
    framework: str  # what a result calls it: sklearn | pytorch | tensorflow
    title: str  # the document's words
    gpu: bool = False
    inference: bool = False


QUEUES: Mapping[str, QueueSpec] = {
    spec.name: spec
    for spec in (
        QueueSpec("pytorch-2.1", "pytorch", "PyTorch 2.1 CPU"),
        QueueSpec("pytorch-2.1-gpu", "pytorch", "PyTorch 2.1 GPU", gpu=True),
        QueueSpec("pytorch-2.0", "pytorch", "PyTorch 2.0 CPU"),
        QueueSpec("pytorch-2.0-gpu", "pytorch", "PyTorch 2.0 GPU", gpu=True),
        QueueSpec("tensorflow", "tensorflow", "TensorFlow"),
        QueueSpec("sklearn", "sklearn", "Scikit-learn"),
        QueueSpec("pytorch-inference", "pytorch", "PyTorch inference", inference=True),
        QueueSpec("tensorflow-inference", "tensorflow", "TensorFlow inference", inference=True),
        QueueSpec("sklearn-inference", "sklearn", "Scikit-learn inference", inference=True),
    )
}
QUEUE_NAMES = tuple(QUEUES)
TRAINING_QUEUES = tuple(name for name, spec in QUEUES.items() if not spec.inference)

# Model types of a row -> (queue without a GPU, queue with one).
ROUTES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("bert", "transformer", "gpt"), ("pytorch-2.1", "pytorch-2.1-gpu")),
    **dict.fromkeys(("resnet", "vgg", "alexnet"), ("pytorch-2.0", "pytorch-2.0-gpu")),
    **dict.fromkeys(("inception", "mobilenet", "efficientnet"), ("tensorflow", "tensorflow")),
    **dict.fromkeys(("random_forest", "svm", "logistic_regression"), ("sklearn", "sklearn")),
}
DEFAULT_ROUTE = ("pytorch-2.1", "pytorch-2.1-gpu")


class RoutingError(ValueError):
    """The override names no queue, or one that cannot run the model type. The text is for the user."""


def route(model_type: str, *, requires_gpu: bool = False, framework_override: str = "") -> QueueSpec:
    """The queue that trains `model_type`: the override if it is given and fits, else the table's row, else PyTorch 2.1.

    Raises:
        RoutingError: the override is unknown, or its framework is not the model type's.
    """
    cpu_queue, gpu_queue = ROUTES.get(model_type, DEFAULT_ROUTE)
    own = QUEUES[gpu_queue if requires_gpu else cpu_queue]
    if not framework_override:
        return own
    if framework_override not in TRAINING_QUEUES:
        raise RoutingError(
            f"framework_override '{framework_override}' is not known; known ones: {', '.join(TRAINING_QUEUES)}"
        )
    chosen = QUEUES[framework_override]
    if chosen.framework != own.framework:
        raise RoutingError(
            f"framework_override '{framework_override}' cannot run model_type '{model_type}', "
            f"which is a {own.title} model; leave the override out or use '{own.name}'"
        )
    return chosen


def inference_queue(framework: str) -> QueueSpec:
    """The queue whose warm workers serve models of a framework."""
    return QUEUES[f"{framework}-inference"]
