"""The job-queue contract's routing table, as data: which worker trains which model type. Knows no Django.

`docs/contracts/job-queue.md`, the workers' page and the admin show the same table; tests hold them together.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class QueueSpec:
    """A queue and what a worker must have to serve it. The number in a queue's name is a minimum."""

    name: str
    framework: str  # what a result calls it: sklearn | pytorch | tensorflow
    title: str  # the document's words
    minimum: tuple[int, int] = (0, 0)  # of the framework's version
    gpu: bool = False  # its jobs get a GPU each, or as many as they ask for
    accelerated: bool = False  # its jobs run anywhere, and on a GPU where the machine has one
    inference: bool = False

    @property
    def setup(self) -> str:
        """The group of requirements that makes a worker for it: `make <group>`, `requirements/worker-<group>.txt`."""
        return "sklearn" if self.framework == "sklearn" else "torch"


QUEUES: Mapping[str, QueueSpec] = {
    spec.name: spec
    for spec in (
        QueueSpec("pytorch-2.1", "pytorch", "PyTorch 2.1 CPU", minimum=(2, 1)),
        QueueSpec("pytorch-2.1-gpu", "pytorch", "PyTorch 2.1 GPU", minimum=(2, 1), gpu=True),
        QueueSpec("pytorch-2.0", "pytorch", "PyTorch 2.0 CPU", minimum=(2, 0)),
        QueueSpec("pytorch-2.0-gpu", "pytorch", "PyTorch 2.0 GPU", minimum=(2, 0), gpu=True),
        QueueSpec("tensorflow", "tensorflow", "TensorFlow", accelerated=True),
        QueueSpec("sklearn", "sklearn", "Scikit-learn"),
        QueueSpec("pytorch-inference", "pytorch", "PyTorch inference", inference=True),
        QueueSpec("tensorflow-inference", "tensorflow", "TensorFlow inference", inference=True),
        QueueSpec("sklearn-inference", "sklearn", "Scikit-learn inference", inference=True),
    )
}
QUEUE_NAMES = tuple(QUEUES)
TRAINING_QUEUES = tuple(name for name, spec in QUEUES.items() if not spec.inference)


@dataclass(frozen=True)
class Route:
    """A row of the table: these model types go to one queue without a GPU, to another with one."""

    model_types: tuple[str, ...]
    cpu: QueueSpec
    gpu: QueueSpec


TABLE: tuple[Route, ...] = (
    Route(("bert", "transformer", "gpt"), QUEUES["pytorch-2.1"], QUEUES["pytorch-2.1-gpu"]),
    Route(("resnet", "vgg", "alexnet"), QUEUES["pytorch-2.0"], QUEUES["pytorch-2.0-gpu"]),
    Route(("inception", "mobilenet", "efficientnet"), QUEUES["tensorflow"], QUEUES["tensorflow"]),
    Route(("random_forest", "svm", "logistic_regression"), QUEUES["sklearn"], QUEUES["sklearn"]),
)
# Whatever stands in no row, as the document says: PyTorch 2.1.
DEFAULT_ROUTE = Route((), QUEUES["pytorch-2.1"], QUEUES["pytorch-2.1-gpu"])
ROUTES: Mapping[str, Route] = {model_type: row for row in TABLE for model_type in row.model_types}


class RoutingError(ValueError):
    """The override names no queue, or one that cannot run the model type. The text is for the user."""


def route(model_type: str, *, requires_gpu: bool = False, framework_override: str = "") -> QueueSpec:
    """The queue that trains `model_type`: the override if it is given and fits, else the table's row, else PyTorch 2.1.

    Raises:
        RoutingError: the override is unknown, or its framework is not the model type's.
    """
    row = ROUTES.get(model_type, DEFAULT_ROUTE)
    own = row.gpu if requires_gpu else row.cpu
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
