"""The networks have torchvision's names of weights, so that its files load, and take all sizes they promise."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.trainers.conftest import Recorder
from trainers.protocol import ConfigProblem
from trainers.vision.alexnet import AlexNet
from trainers.vision.resnet import ResNet
from trainers.vision.vgg import VGG
from trainers.vision.weights import start_from

# Parameters, and some names, as torchvision's documentation and files have them.
PUBLISHED = {
    "resnet18": (lambda: ResNet(18, 1000, small=False), 11_689_512),
    "resnet34": (lambda: ResNet(34, 1000, small=False), 21_797_672),
    "resnet50": (lambda: ResNet(50, 1000, small=False), 25_557_032),
    "vgg11": (lambda: VGG(11, 1000, small=False, batch_norm=False), 132_863_336),
    "vgg16_bn": (lambda: VGG(16, 1000, small=False), 138_365_992),
    "alexnet": (lambda: AlexNet(1000, small=False), 61_100_840),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_is_of_its_published_size(name: str) -> None:
    build, parameters = PUBLISHED[name]
    with torch.device("meta"):
        model = build()
    assert sum(each.numel() for each in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (
            lambda: ResNet(50, 1000, small=False),
            {
                "conv1.weight": (64, 3, 7, 7),
                "bn1.running_mean": (64,),
                "layer1.0.downsample.0.weight": (256, 64, 1, 1),
                "layer1.0.downsample.1.num_batches_tracked": (),
                "layer4.2.conv3.weight": (2048, 512, 1, 1),
                "fc.bias": (1000,),
            },
        ),
        (
            lambda: ResNet(18, 1000, small=False),
            {"layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.1.bn2.bias": (512,)},
        ),
        (
            lambda: VGG(16, 1000, small=False, batch_norm=False),
            {
                "features.28.weight": (512, 512, 3, 3),
                "classifier.0.weight": (4096, 25088),
                "classifier.6.bias": (1000,),
            },
        ),
        (
            lambda: VGG(11, 1000, small=False),
            {"features.25.weight": (512, 512, 3, 3), "features.26.running_var": (512,)},
        ),
        (
            lambda: AlexNet(1000, small=False),
            {
                "features.0.weight": (64, 3, 11, 11),
                "features.10.bias": (256,),
                "classifier.1.weight": (4096, 9216),
                "classifier.6.weight": (1000, 4096),
            },
        ),
    ],
)
def test_weights_have_torchvisions_names(model, names) -> None:
    with torch.device("meta"):
        state = model().state_dict()
    assert {name: tuple(state[name].shape) for name in names} == names


@pytest.mark.parametrize(
    ("model", "sizes"),
    [
        (lambda: ResNet(18, 5, small=True), (28, 32, 64)),
        (lambda: ResNet(18, 5, small=False), (65, 97, 224)),
        (lambda: VGG(11, 5, small=True), (32, 64)),
        (lambda: AlexNet(5, small=True), (28, 64)),
        (lambda: AlexNet(5, small=False), (65, 224)),
    ],
)
def test_every_size_gives_a_number_for_each_class(model, sizes: tuple[int, ...]) -> None:
    with torch.device("meta"):  # shapes without a computation
        network = model().eval()
        for size in sizes:
            assert network(torch.zeros(2, 3, size, size)).shape == (2, 5)


class Small(nn.Module):
    head = "fc"

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Linear(4, 3)
        self.fc = nn.Linear(3, classes)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_weights_is_started_from_but_for_another_number_of_classes(
    tmp_path: Path, recorder: Recorder, suffix: str
) -> None:
    given, model = Small(9), Small(2)
    path = tmp_path / f"weights{suffix}"
    save_file(given.state_dict(), path) if suffix == ".safetensors" else torch.save(given.state_dict(), path)
    before = model.fc.weight.clone()
    start_from(model, path, recorder)
    assert torch.equal(model.body.weight, given.body.weight)
    assert torch.equal(model.fc.weight, before)
    assert "new: fc.weight, fc.bias" in recorder.text()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_weights_of_a_wrapped_model_are_those_of_the_model(tmp_path: Path, recorder: Recorder, prefix: str) -> None:
    given, model = Small(2), Small(2)
    save_file({f"{prefix}{name}": each for name, each in given.state_dict().items()}, tmp_path / "w.safetensors")
    start_from(model, tmp_path / "w.safetensors", recorder)
    assert torch.equal(model.fc.weight, given.fc.weight)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/evil-was-here"),))


@pytest.mark.parametrize("content", ["evil", "whole model", "other", "nothing"])
def test_a_file_that_is_not_weights_alone_is_refused_and_not_run(
    tmp_path: Path, recorder: Recorder, content: str
) -> None:
    path = tmp_path / "weights.pth"
    made = {"evil": Evil(), "whole model": nn.Linear(2, 2), "other": nn.Linear(2, 2).state_dict()}
    if content == "nothing":
        path.write_bytes(b"")
    else:
        torch.save(made[content], path)
    with pytest.raises(ConfigProblem, match="weights"):
        start_from(Small(2), path, recorder)
    assert not Path("/tmp/evil-was-here").exists()


def test_an_old_torch_reads_safetensors_only(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.vision.weights._TORCH", (2, 1))
    torch.save(Small(9).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(ConfigProblem, match="must be .safetensors here"):
        start_from(Small(2), tmp_path / "weights.pth", recorder)


def test_a_whole_published_state_dict_is_started_from(tmp_path: Path, recorder: Recorder) -> None:
    """torchvision's ResNet-18 for ImageNet's thousand classes, into one for two: all but its last layer is taken."""
    with torch.device("meta"):
        names = ResNet(18, 1000, small=False).state_dict()
    published = {
        name: torch.full(tuple(each.shape), 0.5)
        for name, each in names.items()
        if not name.endswith("num_batches_tracked")  # as in the oldest files
    }
    torch.save(published, tmp_path / "resnet18-f37072fd.pth")
    model = ResNet(18, 2, small=False)
    start_from(model, tmp_path / "resnet18-f37072fd.pth", recorder)
    taken = [
        name for name, each in model.state_dict().items() if name in published and torch.equal(each, published[name])
    ]
    assert len(taken) == len(published) - 2
    assert "new: fc.weight, fc.bias" in recorder.text()


def test_networks_for_small_images_take_all_that_fits(tmp_path: Path, recorder: Recorder) -> None:
    save_file(ResNet(18, 1000, small=False).state_dict(), tmp_path / "resnet18.safetensors")
    start_from(ResNet(18, 2, small=True), tmp_path / "resnet18.safetensors", recorder)
    assert "new: conv1.weight, fc.weight, fc.bias" in recorder.text()


def test_weights_of_another_depth_are_refused(tmp_path: Path, recorder: Recorder) -> None:
    with torch.device("meta"):
        names = ResNet(34, 2, small=True).state_dict()
    save_file({name: torch.zeros(tuple(each.shape)) for name, each in names.items()}, tmp_path / "34.safetensors")
    with pytest.raises(ConfigProblem, match="is no file of this network's weights"):
        start_from(ResNet(18, 2, small=True), tmp_path / "34.safetensors", recorder)
