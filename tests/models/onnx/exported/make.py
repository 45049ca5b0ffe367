"""Writes the files of this folder, by PyTorch: networks, what goes in and comes out.

They were made by PyTorch 2.13 and onnxscript, in an environment of their own::

    pip install torch onnx onnxscript
    python tests/models/onnx/exported/make.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

FOLDER = Path(__file__).parent


class Transformer(nn.Module):
    """A vision transformer of one block."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 5, 8))
        self.block = nn.TransformerEncoderLayer(
            8, 2, 16, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(len(x), -1, -1), h], 1) + self.places
        return self.head(self.block(h)[:, 0])


class Text(nn.Module):
    """An LSTM in both directions over embedded words."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.lstm = nn.LSTM(4, 3, 1, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0].mean(1)).softmax(1)


class Mobile(nn.Module):
    """A block of depthwise convolutions, squeezed, excited and enlarged."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1, bias=False),
            nn.BatchNorm2d(6),
            nn.Hardswish(),
            nn.Conv2d(6, 6, 3, 1, 1, groups=6),
            nn.SiLU(),
            nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        )
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 6, 1))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        h = self.body(x)
        h = self.up(h * nn.functional.hardsigmoid(self.squeeze(h)))
        return self.head(h.mean((2, 3)))


def export(name: str, network: nn.Module, x: torch.Tensor) -> None:
    """Write a network by both exporters, with a free batch and with one example."""
    network.eval()
    y = network(x).detach().numpy()
    np.savez(FOLDER / f"{name}.npz", x=x.numpy(), y=y)
    names = {"input_names": ["x"], "output_names": ["y"]}
    for size, free in (("free", True), ("one", False)):
        example = (x if free else x[:1],)
        torch.onnx.export(
            network,
            example,
            FOLDER / f"{name}_old_{size}.onnx",
            dynamo=False,
            opset_version=17,
            dynamic_axes={"x": {0: "n"}} if free else None,
            **names,
        )
        torch.onnx.export(
            network,
            example,
            FOLDER / f"{name}_new_{size}.onnx",
            dynamo=True,
            external_data=False,
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},) if free else None,
            **names,
        )


def strip(path: Path) -> None:
    """Take out of a file where in PyTorch each node comes from: nine tenths of it."""
    model = onnx.load(path)
    graph = model.graph
    infos = (*graph.value_info, *graph.input, *graph.output)
    for part in (model, graph, *graph.node, *infos):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.save(model, path)


if __name__ == "__main__":
    torch.manual_seed(0)
    export("transformer", Transformer(), torch.randn(3, 1, 8, 8))
    export("text", Text(), torch.randint(0, 9, (3, 5)))
    export("mobile", Mobile(), torch.randn(3, 3, 15, 12))
    for file in FOLDER.glob("*.onnx"):
        strip(file)
