"""`bert` (classes of texts), and any other architecture of Hugging Face transformers: what it learns, the data says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.configs.huggingface import ArchitectureConfig, TransformersConfig
from trainers.deep.seed import seed_of
from trainers.huggingface import classification, images, language
from trainers.huggingface.architectures import Head, heads
from trainers.protocol import ConfigProblem, ModelProblem, Predictor, Reporter, Task, TrainResult
from trainers.text import corpus, labelled

# What a task needs one of, and the module that trains and loads it.
NEEDS: Mapping[Task, tuple[Head, ...]] = {
    "text_classification": ("text_classification",),
    "language_modelling": ("causal", "masked"),
    "image_classification": ("image_classification",),
}


def train(config: TransformersConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Train on what lies at `data_path`; the model goes to `out`.

    Raises:
        ConfigProblem: there is no such architecture, or it cannot do what is asked; the message names the nearest.
        TrainerError, Stopped
    """
    task = task_of(config, data_path, reporter)
    seed = seed_of(config.random_state, reporter)
    reporter.log("INFO", f"{config.architecture} learns {task.replace('_', ' ')}, seed {seed}")
    if task == "image_classification":
        if not isinstance(config, ArchitectureConfig):
            raise AssertionError(f"{type(config)} is not one for images")
        return images.train(config, data_path, out, reporter, seed=seed)
    module = classification if task == "text_classification" else language
    return module.train(config, data_path, out, reporter, seed=seed)


def load(folder: Path, manifest: Mapping[str, Any]) -> Predictor:
    """The model that `train` saved. Raises ModelProblem."""
    task = manifest.get("task")
    if task == "text_classification":
        return classification.load(folder, manifest)
    if task == "image_classification":
        return images.load(folder, manifest)
    if task in ("language_modelling", "masked_language_modelling"):
        return language.load(folder, manifest)
    raise ModelProblem(f"The model's manifest names an unknown task: {str(task)[:50]!r}.")


def task_of(config: TransformersConfig, data_path: Path, reporter: Reporter) -> Task:
    """What is to be learnt: as asked, else by what the architecture can and the data holds. Raises ConfigProblem."""
    possible = heads(config.architecture)
    if not isinstance(config, ArchitectureConfig):
        return "text_classification"
    can: list[Task] = [task for task, needed in NEEDS.items() if set(needed) & set(possible)]
    if config.task != "auto":
        if config.task not in can:
            sentence = f'is "{config.task}", but {config.architecture} can only learn {", ".join(can)}.'
            raise ConfigProblem(f"task {sentence}", details={"task": [sentence]})
        return config.task
    if "image_classification" in can and (len(can) == 1 or not any(True for _ in corpus.files(data_path))):
        return "image_classification"
    if "text_classification" not in can:
        return "language_modelling"
    if "language_modelling" not in can or config.label_column or labelled.has_labels(data_path, reporter):
        return "text_classification"
    return "language_modelling"
