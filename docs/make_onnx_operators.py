"""Writes onnx_operators.md: which operators of ONNX ``saliency.load_onnx`` knows.

Run it after a change in ``saliency.models.onnx.families``::

    python docs/make_onnx_operators.py
"""

from __future__ import annotations

from pathlib import Path

from saliency.models.onnx.families import OPERATORS
from saliency.models.onnx.operators import Operator

PATH = Path(__file__).with_name("onnx_operators.md")

HEAD = """\
# Operators of ONNX that can be loaded

Written by `docs/make_onnx_operators.py` from the installed package; do not edit it by
hand.

`saliency.load_onnx` makes a `chainer.Chain` of a file written in opset 7 or newer with
these {count} operators. They are checked against the tests that come with ONNX, in
`tests/models/onnx/test_conformance.py`, which also lists what is left out of them.

- *Link*: where its weights are constant, the node becomes this kind of link. All other
  nodes that a gradient can go through are links, too; constants are their parameters.
- *Arrays*: what it gives has no gradient (shapes, indexes, truth values).
- What depends on constants alone is computed when the file is loaded, whatever the
  operator is, if the reference implementation of ONNX knows it.
- Operators that ONNX defines by others, such as `Attention`, `RotaryEmbedding`,
  `CenterCropPad` or `AffineGrid`, are taken apart. So are functions of the file.
- `Dropout2d` of a network that PyTorch exports in training mode, which is written in
  random numbers, becomes a `Dropout` of channels, so that BayesGrad draws masks. No
  other random numbers can be loaded.
- Quantised operators (`QLinearConv`, `DequantizeLinear`, ...), strings, sequences and
  optional tensors are refused. One error lists all nodes that cannot be loaded.

| operator | family | what it gives | link | arrays |
|---|---|---|---|---|
"""

# What the links are that families make.
LINKS = {
    "BatchNormalization": "`BatchNormalization`",
    "Conv": "`Convolution2D`, `ConvolutionND`",
    "ConvTranspose": "`Deconvolution2D`, `DeconvolutionND`",
    "Gather": "`EmbedID`",
    "Gemm": "`Linear`",
    "MatMul": "`Linear`",
}


def document() -> str:
    """Return the text of the page."""
    rows = (_row(OPERATORS[name]) for name in sorted(OPERATORS))
    return "".join([HEAD.format(count=len(OPERATORS)), *rows])


def _row(operator: Operator) -> str:
    family = operator.compute.__module__.rpartition(".")[2]
    cells = [f"`{operator.name}`", family, operator.what_it_is.replace("|", r"\|")]
    cells.append(LINKS[operator.name] if operator.link else "")
    cells.append("yes" if operator.gives_arrays else "")
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
