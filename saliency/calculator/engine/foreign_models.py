"""Models of other frameworks, which cannot be called with Variables of Chainer."""

from __future__ import annotations

from typing import Any

from saliency.checks import check_callable

_ONNX = "export it to an ONNX file, and pass saliency.load_onnx('network.onnx')"
# By the package that a base class comes from: whose networks they are, and what to do.
_NETWORKS = {
    "torch": ("PyTorch", _ONNX),
    "keras": ("Keras", _ONNX),
    "tensorflow": ("Keras", _ONNX),
}
_SKLEARN = "pass saliency.from_sklearn(estimator), if that takes it"


def check_model(name: str, model: Any) -> None:
    """Raise a TypeError that says what to do unless a model can be called by Chainer.

    Args:
        name (str): What it is called in the message.
        model: What was given.
    """
    for cls in type(model).__mro__:
        package = _package_of(cls)
        if package in _NETWORKS:
            framework, advice = _NETWORKS[package]
            raise _no_network(name, model, framework, advice)
    # An estimator, or one of its methods.
    estimator = getattr(model, "__self__", model)
    if _package_of(type(estimator)) == "sklearn":
        raise _no_network(name, estimator, "scikit-learn", _SKLEARN)
    check_callable(name, model)


def _package_of(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _no_network(name: str, model: Any, framework: str, advice: str) -> TypeError:
    return TypeError(
        f"{name} must be a network of Chainer, got {type(model).__name__}, which is of "
        f"{framework}: {advice} (docs/elsewhere.md)"
    )
