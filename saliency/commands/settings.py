"""Settings of methods: what suits a kind of data, and what the user says instead."""

from __future__ import annotations

import argparse
import ast
import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

import saliency
from saliency.commands.calculators import Method, method_of
from saliency.commands.errors import Unusable
from saliency.commands.methods import settings_of
from saliency.commands.networks import Prepared

#: What a gradient's sign says depends on the sign of the input; for photographs,
#: magnitudes are shown.
_GRADIENTS = (
    *("gradient", "smooth-grad", "bayes-grad", "guided-backprop", "deconvnet"),
    "guided-grad-cam",
)
#: Methods whose scores are a map for each photograph, without channels.
_MAPS = (
    *("grad-cam", "grad-cam-plus-plus", "hi-res-cam", "layer-cam", "x-grad-cam"),
    *("eigen-cam", "score-cam", "ablation-cam", "full-grad"),
)
#: Methods that explain groups, of which photographs need some.
_OF_GROUPS = ("feature-ablation", "lime", "permutation", "shapley")
#: What masks that slide or let through lie along, where there are no images.
_ALONG_AXIS_1: dict[str, dict[str, Any]] = {
    "occlusion": {"slide_axis": 1},
    "rise": {"axes": 1, "subtract_mean": True},
}
#: Methods whose result is a matrix of features by features.
_MATRICES = ("integrated-hessians", "shapley-interaction")
#: Samples that are drawn unless the user says how many: what SmoothGrad draws.
_N_SAMPLE = 30
#: Rows of a background, where each of them takes a pass.
_COMPARED_AT_MOST = 50


class Settings(NamedTuple):
    """Arguments of a calculator's constructor, and of its ``explain``."""

    of_calculator: dict[str, Any]
    of_call: dict[str, Any]


def settings_for(
    method: Method, prepared: Prepared, args: argparse.Namespace
) -> Settings:
    """Return the settings of a method: the user's, and for the rest what suits.

    Settings of the user that the method does not have are left out.
    """
    suited, call = _DEFAULTS[prepared.kind](method.name.partition(":")[0], prepared)
    known = settings_of(method.calculator)
    suited = {name: value for name, value in suited.items() if name in known}
    given = {name: value for name, value in _given(args).items() if name in known}
    if _draws_samples(method, args):
        call["M"] = args.M or _N_SAMPLE
    if args.aggregate is not None:
        call["method"] = args.aggregate
    if args.noise is not None:
        call["noise_sampler"] = _noise(args.noise)
    return Settings({**suited, **method.settings, **given}, call)


def asked_methods(args: argparse.Namespace) -> list[Method]:
    """Return the methods of a command that takes several.

    Raises:
        Unusable: If there is none of a name, one is named twice, or there is a setting
            that none of them has.
    """
    methods = [method_of(name) for name in args.method or ["integrated-gradients"]]
    names = [method.name for method in methods]
    if len(set(names)) < len(names):
        raise Unusable("--method: the same method is named twice")
    check_settings(methods, args)
    return methods


def check_settings(methods: Sequence[Method], args: argparse.Namespace) -> None:
    """Raise an Unusable if there is a setting that none of the methods has."""
    known = {name: one for one in methods for name in settings_of(one.calculator)}
    names = ", ".join(one.name for one in methods)
    for name in _given(args):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise Unusable(f"{names} has no setting {name}; {hint}")
    if args.noise is not None:
        _noise(args.noise)
    if args.M is not None and not any(_draws_samples(one, args) for one in methods):
        raise Unusable(
            f"--M: {names} draws no samples; smooth-grad and bayes-grad do, and any "
            "method with --noise"
        )


def _draws_samples(method: Method, args: argparse.Namespace) -> bool:
    """Tell whether there is chance in a method, by itself or by --noise."""
    return "M" in method.calculator.call_defaults or args.noise is not None


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that are typed: options of their own, and --set."""
    given = {
        name: _value_of(value) if isinstance(value, str) else value
        for name, value in (("steps", args.steps), ("baseline", args.baseline))
        if value is not None
    }
    return {**given, **named_values("--set", args.settings)}


def named_values(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return what texts say, each of which is NAME=VALUE.

    Raises:
        Unusable: If one is not.
    """
    given = {}
    for text in texts:
        name, is_set, value = text.partition("=")
        if not is_set or not name.isidentifier():
            raise Unusable(f"{option} must be NAME=VALUE, got {text!r}")
        given[name] = _value_of(value)
    return given


def _value_of(text: str) -> Any:
    """Return the value of Python that a text stands for; otherwise the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _noise(scale: float) -> Any:
    try:
        return saliency.GaussianNoiseSampler(scale=scale)
    except ValueError as error:
        raise Unusable(f"--noise: {error}") from error


def _of_photographs(
    name: str, prepared: Prepared
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what suits images ``(N, ch, h, w)``."""
    _refuse_matrices(name)
    size = prepared.data.shape[2]
    photographs = prepared.network.photographs
    blur = saliency.GaussianBlur(size / 10)
    window = {"size": max(1, size // 4), "stride": max(1, size // 8)}
    suited: dict[str, Any] = {}
    if name == "occlusion":
        suited = {"fill": blur, **window}
    elif name == "integrated-gradients":
        suited = {"baseline": blur, "steps": 32}
    elif name in ("deep-lift", "guided-integrated-gradients"):
        suited = {"baseline": blur}
    elif name in ("expected-gradients", "deep-lift-shap"):
        suited = {"background": _some(blur(prepared.data))}
    elif name == "rise":
        suited = {"subtract_mean": True}
    elif name in _OF_GROUPS:
        suited = {"baseline": blur, "groups": saliency.Superpixels()}
    elif name == "lrp":
        suited = _box_of(prepared)
    elif name in (*_MAPS, "guided-grad-cam") and photographs is not None:
        suited = {"layer": photographs.layer}
    call: dict[str, Any] = {} if name in _MAPS else {"ch_axis": 2}
    if name in _GRADIENTS:
        call["method"] = "abs"
    return suited, call


def _some(background: Any) -> Any:
    """Return rows of a background that each example can be compared with."""
    return background[:: -(-len(background) // _COMPARED_AT_MOST)]


def _box_of(prepared: Prepared) -> dict[str, Any]:
    """Return the smallest and the largest values that the data can have, if known."""
    if prepared.box is None:
        return {}
    low, high = prepared.box
    return {"low": low, "high": high}


def _of_tables(name: str, prepared: Prepared) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what suits tables, which are compared with the mean of the rows."""
    reference = prepared.reference
    suited = {
        "deep-lift": {"baseline": reference},
        "deep-lift-shap": {"background": _some(prepared.background)},
        "expected-gradients": {"background": prepared.background},
        "guided-integrated-gradients": {"baseline": reference},
        "integrated-gradients": {"baseline": reference, "method": "adaptive"},
        "integrated-hessians": {"baseline": reference},
        "occlusion": {"fill": reference, "slide_axis": 1},
        "lrp": _box_of(prepared),
        "feature-ablation": {"baseline": reference},
        "lime": {"baseline": reference},
        "permutation": {"background": prepared.background},
        "rise": {"baseline": reference, **_ALONG_AXIS_1["rise"]},
        "shapley": {"baseline": reference},
        "shapley-interaction": {"baseline": reference},
    }
    return dict(suited.get(name, {})), _of_matrices(name)


def _of_matrices(name: str) -> dict[str, Any]:
    """Return what makes one score for each feature of a matrix: the sum of its row."""
    return {"ch_axis": 3} if name in _MATRICES else {}


def _refuse_matrices(name: str) -> None:
    if name in _MATRICES:
        raise Unusable(
            f"{name} gives a matrix of features by features, which is for tables; take "
            "another method"
        )


def _of_molecules(
    name: str, prepared: Prepared
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what suits embedded atoms, whose channels are summed up."""
    _refuse_matrices(name)
    suited, _ = _of_arrays(name, prepared)
    if name in _GRADIENTS:
        suited["multiply_target"] = True
    return suited, {"ch_axis": 3}


def _of_arrays(name: str, prepared: Prepared) -> tuple[dict[str, Any], dict[str, Any]]:
    suited = {
        "deep-lift-shap": {"background": _some(prepared.background)},
        "expected-gradients": {"background": prepared.background},
        **_ALONG_AXIS_1,
    }
    return dict(suited.get(name, {})), _of_matrices(name)


_DEFAULTS = {
    "image": _of_photographs,
    "table": _of_tables,
    "molecule": _of_molecules,
    "array": _of_arrays,
}
