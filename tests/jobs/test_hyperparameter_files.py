"""A hyperparameter that names a file is opened like data: under the data root, by who may see it, and nowhere else."""

from pathlib import Path

import pytest

from automl_site.errors import InvalidSpec
from jobs.models import Job
from jobs.services.hyperparameter_files import with_local_files
from jobs.services.submission import training_submit
from tracking.models import User
from trainers import registry

pytestmark = pytest.mark.django_db


@pytest.fixture
def weights(data_root: Path) -> Path:
    folder = data_root / "files" / "weights"
    folder.mkdir(parents=True)
    (folder / "resnet18.safetensors").write_bytes(b"weights")
    (data_root / "files" / "images").mkdir()
    return folder / "resnet18.safetensors"


def submit(user: User, path: str) -> Job:
    return training_submit(
        user=user, model_type="resnet", data_path="/data/images", hyperparameters={"depth": 18, "weights": path}
    )


@pytest.mark.parametrize("path", ["/data/weights/resnet18.safetensors", "weights/resnet18.safetensors"])
def test_it_is_found_under_the_data_root(user: User, weights: Path, path: str) -> None:
    job = submit(user, path)
    assert job.hyperparameters["weights"] == path, "as the caller wrote it: that is what is shown, and run again"
    config = with_local_files(user=user, config=registry.check_config("resnet", job.hyperparameters))
    assert Path(config.weights).samefile(weights)
    assert "weights" not in config.as_kept(), "a model's manifest tells nothing of its machine"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret", "/data/../secret", "http://x/y.pth", "nowhere.pth", "~/x"]
)
def test_nothing_else_is_opened(user: User, weights: Path, path: str) -> None:
    (weights.parents[2] / "secret").write_bytes(b"")
    with pytest.raises(InvalidSpec) as refused:
        submit(user, path)
    assert list(refused.value.errors) == ["hyperparameters.weights"]
    assert not Job.objects.exists()


def test_a_link_that_was_put_there_meanwhile_is_not_followed(user: User, weights: Path, tmp_path: Path) -> None:
    config = registry.check_config("resnet", submit(user, "weights/resnet18.safetensors").hyperparameters)
    weights.unlink()
    weights.symlink_to("/etc/passwd")
    with pytest.raises(InvalidSpec) as refused:
        with_local_files(user=user, config=config)
    assert list(refused.value.errors) == ["hyperparameters.weights"]
