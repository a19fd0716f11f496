"""Models to start from: what the operator put into the model folder, what one trained oneself, the Hub if allowed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automl_site.errors import InvalidSpec
from jobs.models import Job, TrainedModel
from jobs.services.hyperparameter_files import with_local_files
from jobs.services.submission import training_submit
from tracking.models import User
from trainers import registry

pytestmark = pytest.mark.django_db


@pytest.fixture
def minilm(data_root: Path) -> Path:
    folder = data_root / "files" / "models" / "sentence-transformers" / "minilm"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (data_root / "files" / "mails.csv").write_text("text,label\na,b\n")
    return folder


def submit(user: User, base_model: str) -> Job:
    return training_submit(
        user=user, model_type="bert", data_path="/data/mails.csv", hyperparameters={"base_model": base_model}
    )


def started_from(user: User, job: Job) -> str:
    config: Any = with_local_files(user=user, config=registry.check_config("bert", job.hyperparameters))
    return str(config.base_model)


@pytest.mark.parametrize("name", ["sentence-transformers/minilm", "/models/sentence-transformers/minilm"])
def test_a_name_means_a_folder_in_the_model_folder(user: User, minilm: Path, name: str) -> None:
    assert Path(started_from(user, submit(user, name))).samefile(minilm)


def test_the_path_of_a_model_trained_here(
    user: User, minilm: Path, make_model: Callable[..., TrainedModel], make_user: Callable[..., User]
) -> None:
    model = make_model()
    assert Path(started_from(user, submit(user, model.path)), "model.json").is_file()
    with pytest.raises(InvalidSpec) as refused:
        submit(make_user("bob"), model.path)
    assert list(refused.value.errors) == ["hyperparameters.base_model"]


@pytest.mark.parametrize(
    "name", ["nowhere", "../sentence-transformers", "a/../../b", "s3://x/y", "ds_0123456789ab", "."]
)
def test_what_is_not_there_is_refused(user: User, minilm: Path, name: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        submit(user, name)
    (sentence,) = refused.value.errors["hyperparameters.base_model"]
    assert "is not in the model folder" in sentence
    assert "AUTOML_HUB" in sentence
    assert not Job.objects.exists()


def test_where_the_hub_is_allowed_a_name_of_its_kind_is_left_to_the_worker(
    user: User, minilm: Path, settings: Any
) -> None:
    settings.HUB_ALLOWED = True
    assert started_from(user, submit(user, "google-bert/bert-base-uncased")) == "google-bert/bert-base-uncased"
    with pytest.raises(InvalidSpec) as refused:
        submit(user, "../etc")
    assert "is not in the model folder" in refused.value.errors["hyperparameters.base_model"][0]
