"""The architectures that come with ONNX, with weights that are all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.backend.test
import pytest
from numpy.testing import assert_allclose
from onnx import numpy_helper

import saliency

import chainer
from chainer import links as L

pytestmark = pytest.mark.large

FOLDER = Path(onnx.backend.test.__file__).parent / "data" / "light"
# Names, and how many layers with weights each has.
NETWORKS = {
    "bvlc_alexnet": 8,
    "densenet121": 121,
    "inception_v1": 58,
    "inception_v2": 70,
    "resnet50": 54,
    "shufflenet": 50,
    "squeezenet": 26,
    "vgg19": 19,
    "zfnet512": 8,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_gives_what_comes_with_it(name):
    model = saliency.load_onnx(FOLDER / f"light_{name}.onnx")
    tensor = onnx.load_tensor(str(FOLDER / f"light_{name}_output_0.pb"))
    x = np.linspace(0, 1, 3 * 224 * 224, dtype="f").reshape(1, 3, 224, 224)
    if name == "squeezenet":  # its scores are 1e10 each: softmax of their last digits
        for parameter in model.params():
            parameter.array = parameter.array.astype("d")
        x = x.astype("d")
    with chainer.no_backprop_mode(), saliency.fast_cpu():
        y = model(x).array
    assert_allclose(y, numpy_helper.to_array(tensor), rtol=1e-5, atol=1e-7)
    layers = [m for m in model.links() if isinstance(m, (L.Convolution2D, L.Linear))]
    assert len(layers) == NETWORKS[name]
