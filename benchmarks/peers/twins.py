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


class Bottleneck(nn.Module):
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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        h, shortcut = self.branches(x)
        return self.relu3(h + shortcut)


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
    has_bias = link.b is not None
    return _copied(
        link, nn.Conv2d(n_in, n_out, size, link.stride, link.pad, bias=has_bias)
    )


def _normalization(link: Any) -> nn.Module:
    layer = nn.BatchNorm2d(link.gamma.size, eps=link.eps)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(link.gamma.array))
        layer.bias.copy_(torch.from_numpy(link.beta.array))
        layer.running_mean.copy_(torch.from_numpy(link.avg_mean))
        layer.running_var.copy_(torch.from_numpy(link.avg_var))
    return layer
