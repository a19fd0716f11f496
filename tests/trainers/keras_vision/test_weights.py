"""Trainings start from files that Keras writes, from nothing else, and from no file beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainers.conftest import Recorder
from trainers.protocol import ConfigProblem

pytestmark = pytest.mark.full

KEPT = {"name": "mobilenet", "variant": "small", "outputs": 4, "image_size": 32, "dropout_rate": 0.2}


@pytest.fixture(scope="module")
def keras() -> Any:
    from trainers.keras_vision.backend import keras

    return keras


@pytest.fixture
def network(keras: Any) -> Any:
    from trainers.keras_vision import networks

    return networks.build(KEPT)


def application(keras: Any, **options: Any) -> Any:
    """MobileNetV3Small with other numbers in it than a new one has."""
    model = keras.applications.MobileNetV3Small(
        input_shape=(48, 48, 3), weights=None, classifier_activation=None, **options
    )
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.1, 0.2, weight.shape) for weight in model.get_weights()])
    return model


def start(network: Any, path: Path, recorder: Recorder) -> str:
    from trainers.keras_vision.weights import start_from

    start_from(network, path, recorder)
    return recorder.text()


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5", "model.h5"])
@pytest.mark.parametrize(
    ("options", "new"),
    [({"classes": 4}, ""), ({"classes": 9}, "; new: logits"), ({"include_top": False}, "; new: conv_2, logits")],
)
def test_the_arrays_of_a_file_are_put_where_they_belong(
    keras: Any, network: Any, recorder: Recorder, tmp_path: Path, name: str, options: dict[str, Any], new: str
) -> None:
    given = application(keras, **options)
    path = tmp_path / name
    given.save_weights(path) if name.endswith(".weights.h5") else given.save(path)
    assert start(network, path, recorder).endswith(f"layers{new}")
    arrays, wanted = network.get_weights(), given.get_weights()
    same = len(arrays) - 2 * new.count(",") - 2 * bool(new)
    for ours, theirs in zip(arrays[:same], wanted[:same], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_of_another_network_is_refused(keras: Any, network: Any, recorder: Recorder, tmp_path: Path) -> None:
    keras.applications.MobileNetV3Large(input_shape=(48, 48, 3), weights=None).save(tmp_path / "large.keras")
    with pytest.raises(ConfigProblem, match="is no file of this network's weights"):
        start(network, tmp_path / "large.keras", recorder)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_file_of_weights_is_refused(
    network: Any, recorder: Recorder, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.keras").write_bytes(content)
    with pytest.raises(ConfigProblem, match="holds no weights that can be read"):
        start(network, tmp_path / "x.keras", recorder)


def test_a_file_that_is_not_there_is_named(network: Any, recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(ConfigProblem, match='names "none.keras", which is not there'):
        start(network, tmp_path / "none.keras", recorder)


@pytest.mark.parametrize("link", ["soft", "external", "storage"])
def test_no_link_of_a_file_is_followed(keras: Any, network: Any, recorder: Recorder, tmp_path: Path, link: str) -> None:
    import h5py

    path = tmp_path / "model.weights.h5"
    application(keras, classes=4).save_weights(path)
    with h5py.File(path, "a") as file:
        group = file["layers/conv2d/vars"]
        shape = group["0"].shape
        del group["0"]
        if link == "storage":
            secret = tmp_path / "secret"
            secret.write_bytes(bytes(4 * int(np.prod(shape))))
            group.create_dataset("0", shape, np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        else:
            group["0"] = h5py.SoftLink("/layers") if link == "soft" else h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(ConfigProblem, match="is a link|is no plain array"):
        start(network, path, recorder)


def test_deviations_in_keras_own_files_of_efficientnet_become_variances(
    keras: Any, recorder: Recorder, tmp_path: Path
) -> None:
    from trainers.keras_vision import networks

    given = keras.applications.EfficientNetB0(input_shape=(32, 32, 3), weights=None, include_top=False)
    norm = next(layer for layer in given.layers if isinstance(layer, keras.layers.Normalization))
    norm.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.array(0)])
    given.save_weights(tmp_path / "b0.weights.h5")
    network = networks.build({**KEPT, "name": "efficientnet", "variant": "b0"})
    start(network, tmp_path / "b0.weights.h5", recorder)
    ours = next(layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    white = keras.ops.convert_to_numpy(ours(np.ones((1, 1, 1, 3), np.float32)))
    np.testing.assert_allclose(white.ravel(), (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225], rtol=1e-5)
