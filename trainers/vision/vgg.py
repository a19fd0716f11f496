"""VGG-11 and -16 (Simonyan & Zisserman 2014, https://arxiv.org/abs/1409.1556), with torchvision's names of weights."""

import torch
from torch import nn

# Convolutions of each stage; a pool of two ends it.
STAGES = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """(N, 3, H, W) -> (N, classes), H and W from 32. `small` is for images up to 64 pixels: a small classifier.

    `batch_norm`: as torchvision's `vgg11_bn` and `vgg16_bn`; without it, a deep one hardly learns from scratch.
    """

    head = "classifier.6"

    def __init__(self, depth: int, classes: int, *, small: bool, batch_norm: bool = True, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for convolutions, width in zip(STAGES[depth], WIDTHS, strict=True):
            for _ in range(convolutions):
                layers.append(nn.Conv2d(inputs, width, 3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        side, hidden = (1, 512) if small else (7, 4096)
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * side * side, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))
