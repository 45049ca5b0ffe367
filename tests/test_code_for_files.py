"""Code of the documents that needs files of the reader's, with such files."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency import TextVisualizer, load_onnx

import chainer

onnx = pytest.importorskip("onnx")
from tests.models.onnx.graphs import info, model_of, node, rounded  # noqa: E402

ROOT = Path(saliency.__file__).parents[1]
DOCS = ROOT / "docs"
blocks: Callable[..., list[str]] = runpy.run_path(str(DOCS / "make_gallery.py"))[
    "blocks"
]
RNG = np.random.default_rng(0)
#: What the documents write in which language; `python`, `bash` and `sh` have tests of
#: their own, and what is between `text` is no code.
LANGUAGES = {"python", "py", "bash", "sh", "text"}
#: How many blocks a page has that need something of the reader's.
PAGES = {"elsewhere.md": 13, "large.md": 1, "onnx.md": 1, "pictures.md": 1}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(code: list[str], **names: Any) -> dict[str, Any]:
    """Run blocks of code one after the other, and return what they define."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for block in code:
            exec(compile(block, "documents", "exec"), names)
    return names


def of_section(heading: str) -> list[str]:
    """Return the blocks of the page for other libraries under a heading."""
    text = (DOCS / "elsewhere.md").read_text(encoding="utf-8")
    section = re.split(rf"^#+ {heading}$", text, flags=re.M)[1]
    section = re.split(r"^#+ ", section, flags=re.M)[0]
    return re.findall(r"^```py\n(.*?)^```", section, re.S | re.M)


def write(
    path: str, *nodes: Any, n_in: tuple[Any, ...], n_out: int, **given: Any
) -> None:
    onnx.save(
        model_of([*nodes], [info("x", "n", *n_in)], [info("y", "n", n_out)], **given),
        path,
    )


def write_images_first(path: str, n_class: int = 5) -> None:
    """Write a network for images (3, 8, 8), as PyTorch names its nodes."""
    write(
        path,
        node("Conv", "x w", "c", "node_conv2d_1", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r", "/layer4/layer4.1/relu_1/Relu"),
        node("GlobalAveragePool", "r", "p"),
        node("Flatten", "p", "f"),
        node("Gemm", "f v", "y", "fc"),
        n_in=(3, 8, 8),
        n_out=n_class,
        w=rounded(RNG, 4, 3, 3, 3),
        v=rounded(RNG, 4, n_class),
    )


def write_images_last(path: str) -> None:
    """Write a network for images (8, 8, 3), as Keras names its nodes."""
    write(
        path,
        node(
            "Transpose",
            "x",
            "t",
            "functional_1/conv2d_1/convolution_6",
            perm=[0, 3, 1, 2],
        ),
        node("Conv", "t w", "c", "functional_1/conv2d_1/convolution"),
        node("Relu", "c", "r", "functional_1/conv2d_1/Relu"),
        node("GlobalAveragePool", "r", "p", "functional_1/global_average_pooling2d_1"),
        node("Flatten", "p", "f", "functional_1/flatten_1"),
        node("MatMul", "f v", "d", "functional_1/dense_1/MatMul"),
        node("Softmax", "d", "y", "functional_1/dense_1/Softmax", axis=1),
        n_in=(8, 8, 3),
        n_out=5,
        w=rounded(RNG, 4, 3, 3, 3),
        v=rounded(RNG, 4, 5),
    )


def by_onnxruntime(x: np.ndarray) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    (found,) = runtime.InferenceSession("net.onnx").run(None, {"x": x})
    return np.asarray(found)


def photographs() -> list[np.ndarray]:
    return [*RNG.integers(0, 256, (2, 16, 16, 3), np.uint8)]


def test_every_block_is_in_a_language_that_is_tested() -> None:
    documents = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    found = {
        (path, language)
        for path in documents
        for language in re.findall(
            r"^```(\S+)\n", path.read_text(encoding="utf-8"), re.M
        )
    }
    assert {language for _, language in found} - {"{toctree}"} == LANGUAGES
    pages = {path.name: len(blocks(path, "py")) for path, name in found if name == "py"}
    assert pages == PAGES


def test_a_network_of_pytorch() -> None:
    runtime = pytest.importorskip("onnxruntime")
    write_images_first("net.onnx")
    _, *code = of_section("PyTorch")  # the first one is that of PyTorch itself
    x = rounded(RNG, 2, 3, 8, 8)
    run(
        code,
        x=x,
        photographs=photographs(),
        chainer=chainer,
        np=np,
        onnxruntime=runtime,
    )
    assert Path("explained.png").stat().st_size > 5000


@pytest.mark.large
def test_the_export_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="PyTorch exports with onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(144, 5),
    )
    names = {"net": net, "torch": torch, "images": torch.randn(2, 3, 8, 8)}
    others = {"chainer": chainer, "np": np, "onnxruntime": runtime}
    run(of_section("PyTorch"), photographs=photographs(), **names, **others)
    run(of_section("Weights alone")[:1], **names)
    assert Path("vgg16.pth").stat().st_size > 1000
    with pytest.warns(UserWarning, match="in training mode"):  # which it shall be
        (code,) = of_section("Dropout for BayesGrad")
        exec(code, names)
    samples = saliency.BayesGradCalculator(
        load_onnx("net.onnx"), class_index=0
    ).compute(names["images"].numpy(), M=3, seed=0)
    assert np.ptp(samples, axis=0).max() > 0


@pytest.mark.large
def test_a_network_of_keras() -> None:
    write_images_last("net.onnx")
    x = rounded(RNG, 2, 8, 8, 3)
    _, *code = of_section("Keras")  # the first one is that of Keras itself
    given = {"x": x, "chainer": chainer, "np": np, "expected": by_onnxruntime(x)}
    names = run(code, photographs=photographs(), **given)
    assert Path("explained.png").stat().st_size > 5000
    hooks = {
        name: getattr(saliency, name)
        for name in ("VariableMonitorLinkHook", "GradCAMCalculator")
    }
    names = run(of_section("Channels last"), **{**names, **hooks})
    assert names["maps"].shape == (1, 2, 8, 8)


def test_dropout_is_put_into_a_file_of_keras() -> None:
    write_images_last("net.onnx")
    given = {"x": rounded(RNG, 2, 8, 8, 3), "onnx": onnx, "np": np}
    calculator = {"BayesGradCalculator": saliency.BayesGradCalculator}
    names = run(
        of_section("Dropout in Keras"), load_onnx=load_onnx, **given, **calculator
    )
    assert names["samples"].shape == (30, 2, 8, 8, 3)
    assert np.ptp(names["samples"], axis=0).max() > 0


def test_a_network_in_an_onnx_file() -> None:
    write_images_first("resnet18.onnx", n_class=1000)
    names = run(blocks(DOCS / "onnx.md", "py"), images=rounded(RNG, 2, 3, 8, 8))
    assert names["maps"].shape == (1, 2, 8, 8)
    assert names["relevance"].shape == (1, 2, 3, 8, 8)
    assert names["inner"].output_names == ("r",)


def test_a_text_in_japanese() -> None:
    scores = np.array([0.5, 1.0, 0.1])
    (code,) = blocks(DOCS / "pictures.md", "py")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where no font has these letters
        exec(code, {"scores": scores, "TextVisualizer": TextVisualizer})


@pytest.mark.large
def test_several_processes(tmp_path: Path) -> None:
    for package in ("distributed", "zarr"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is missing: pip install '.[distributed]'")
    (code,) = blocks(DOCS / "large.md", "py")
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    (tmp_path / "my_project.py").write_text(
        "from saliency import chainer_compat\n"
        "import chainer.links as L, numpy as np\n"
        "np.random.seed(0)\n"
        "model = L.Linear(3 * 8 * 8, 5)\n"
        "images = np.ones((6, 3, 8, 8), 'f')\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "script.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.zarr").exists()
