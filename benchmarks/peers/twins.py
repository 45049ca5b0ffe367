"""PyTorch twins of the Chainer models: the same layers, the same weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def vgg16(model: Any) -> nn.Sequential:
    """Return the twin of ``chainer.links.VGG16Layers``, up to ``fc8``."""
    layers: list[nn.Module] = []
    for block, n_conv in enumerate((2, 2, 3, 3, 3), start=1):
        for i in range(1, n_conv + 1):
            layers += [_convolution(model[f"conv{block}_{i}"]), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    for name in ("fc6", "fc7"):
        layers += [_linear(model[name]), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, _linear(model["fc8"])).eval()


class Residual(nn.Module):
    """A block whose output is a sum of two terms, which ``branches`` returns."""

    def after_sum(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output from the sum."""
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        first, second = self.branches(x)
        return self.after_sum(first + second)


class Bottleneck(Residual):
    """A block of ResNet50, with the stride in its first convolution as in Caffe's."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        # In the order of the forward pass, as Zennit's canonizer wants it.
        self.conv1, self.bn1 = _convolution(block.conv1), _normalization(block.bn1)
        self.relu1 = nn.ReLU()
        self.conv2, self.bn2 = _convolution(block.conv2), _normalization(block.bn2)
        self.relu2 = nn.ReLU()
        self.conv3, self.bn3 = _convolution(block.conv3), _normalization(block.bn3)
        self.shortcut = nn.Identity()
        if hasattr(block, "conv4"):
            self.shortcut = nn.Sequential(
                _convolution(block.conv4), _normalization(block.bn4)
            )
        self.relu3 = nn.ReLU()

    def branches(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the two terms of the residual sum."""
        h = self.relu1(self.bn1(self.conv1(x)))
        h = self.relu2(self.bn2(self.conv2(h)))
        return self.bn3(self.conv3(h)), self.shortcut(x)

    def after_sum(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output from the sum."""
        return self.relu3(x)


def resnet50(model: Any) -> nn.Sequential:
    """Return the twin of ``chainer.links.ResNet50Layers``, up to ``fc6``."""
    blocks = []
    for name in ("res2", "res3", "res4", "res5"):
        stage = model[name]
        blocks += [Bottleneck(stage[part]) for part in stage._forward]
    return nn.Sequential(
        _convolution(model.conv1),
        _normalization(model.bn1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),  # Chainer pools with cover_all
        *blocks,
        nn.AvgPool2d(7),
        nn.Flatten(),
        _linear(model.fc6),
    ).eval()


class InvertedResidual(Residual):
    """A block of EfficientNet-Lite0 that adds its input to its output."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_inverted(block))

    def branches(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the two terms of the residual sum."""
        return x, self.layers(x)


def _inverted(block: Any) -> list[nn.Module]:
    """Return the layers of a block of EfficientNet-Lite0."""
    names = ["expand"] * block.expands + ["depthwise"]
    layers = [layer for name in names for layer in _same_convolution(block, name)]
    return [*layers, *_same_convolution(block, "project")[:-1]]


def efficientnet_lite0(model: Any) -> nn.Sequential:
    """Return the twin of ``saliency.models.efficientnet.EfficientNetLite0``."""
    layers = _same_convolution(model, "stem")
    for name in model.block_names:
        block = model[name]
        layers += [InvertedResidual(block)] if block.is_residual else _inverted(block)
    return nn.Sequential(
        *layers,
        *_same_convolution(model, "head"),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(model.dropout),
        _linear(model.fc),
    ).eval()


def _same_convolution(parent: Any, name: str) -> list[nn.Module]:
    """Return a convolution with TensorFlow's padding, for sizes that are even.

    Batch normalization and ReLU6 follow it.
    """
    link = parent[name]
    n_pad = link.W.shape[2] - link.stride[0]
    before, behind = n_pad // 2, n_pad - n_pad // 2
    layer = _convolution(link)
    layers = [layer, _normalization(parent[f"{name}_bn"]), nn.ReLU6()]
    if before == behind:
        layer.padding = (before, before)
        return layers
    return [nn.ZeroPad2d((before, behind, before, behind)), *layers]


def mlp(model: Any) -> nn.Sequential:
    """Return the twin of ``mlp.MLP``."""
    layers: list[nn.Module] = []
    for name in ("l1", "l2"):
        layers += [_linear(model[name]), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers, _linear(model["l3"])).eval()


class GGNN(nn.Module):
    """The twin of ``ggnn.GGNN``."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        weight = torch.from_numpy(model.embed.W.array.copy())
        self.embed = nn.Embedding.from_pretrained(weight, freeze=False)
        names = ("message", "gates_m", "gates_h", "new_m", "new_h", "gate", "value")
        for name in names:
            setattr(self, name, _linear(model[name]))
        self.n_step = model.n_step
        self.eval()

    def forward(self, atoms: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Return the class scores of each graph."""
        return self.from_embedding(self.embed(atoms), adjacency, atoms)

    def from_embedding(
        self, h: torch.Tensor, adjacency: torch.Tensor, atoms: torch.Tensor
    ) -> torch.Tensor:
        """Return them from the vectors of the atoms."""
        n_graph, n_type, n_atom, _ = adjacency.shape
        h0 = h
        for _ in range(self.n_step):
            sent = self.message(h).view(n_graph, n_atom, n_type, -1).transpose(1, 2)
            m = (adjacency @ sent).sum(1)
            gates = torch.sigmoid(self.gates_m(m) + self.gates_h(h))
            update, reset = gates.chunk(2, dim=2)
            new = torch.tanh(self.new_m(m) + self.new_h(reset * h))
            h = (1 - update) * h + update * new
        gate = torch.sigmoid(self.gate(torch.cat([h, h0], dim=2)))
        return (gate * self.value(h) * (atoms > 0)[..., None]).sum(1)


def _copied(link: Any, layer: nn.Module) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(link.W.array))
        if link.b is not None:
            layer.bias.copy_(torch.from_numpy(link.b.array))
    return layer


def _linear(link: Any) -> nn.Module:
    n_out, n_in = link.W.shape
    return _copied(link, nn.Linear(n_in, n_out))


def _convolution(link: Any) -> nn.Module:
    n_out, n_in, *size = link.W.shape
    layer = nn.Conv2d(
        n_in * link.groups,
        n_out,
        size,
        link.stride,
        link.pad,
        groups=link.groups,
        bias=link.b is not None,
    )
    return _copied(link, layer)


def _normalization(link: Any) -> nn.Module:
    layer = nn.BatchNorm2d(link.gamma.size, eps=link.eps)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(link.gamma.array))
        layer.bias.copy_(torch.from_numpy(link.beta.array))
        layer.running_mean.copy_(torch.from_numpy(link.avg_mean))
        layer.running_var.copy_(torch.from_numpy(link.avg_var))
    return layer
