"""Composites: which rule each function gets."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

import saliency.lrp.handlers  # noqa: F401  (declares the kinds)
from saliency.array_types import Array
from saliency.checks import check_callable, check_choice, check_positive, no_choice
from saliency.lrp.affine import has_weights
from saliency.lrp.graph import Application, InputRelevance, function_of
from saliency.lrp.registry import KINDS, RuleClass, handle, is_part_of, kind_at
from saliency.lrp.rules import (
    AlphaBeta,
    Box,
    Epsilon,
    Flat,
    Gamma,
    Gradient,
    InProportion,
    MaximumRule,
    Norm,
    Rule,
    SumRule,
    Taylor,
    Uniform,
    WinnerTakesAll,
    WSquare,
    Zero,
    ZPlus,
)
from saliency.tables import PrintedTable

import chainer

#: The rules that a function may get, for isinstance. It is Any to a type checker, since
#: Composite checks which of them is given where.
AnyRule: Any = (SumRule, MaximumRule, Taylor)


@dataclass(frozen=True)
class Layer:
    """What a composite knows of a function that rules apply to.

    Attributes:
        kind (str): One of the kinds that rules apply to: ``'linear'``,
            ``'convolution'``, ``'addition'``, ``'pooling'``, ``'maximum'``, ...; those
            with a ``*`` in ``docs/lrp_functions.md``.
        path (str): Path of the link that applied it, as in ``model.namedlinks()``;
            empty outside any.
        is_first (bool): Whether no other affine layer is between it and the target.
        n_above (int): Number of affine layers that relevance passed before it.
        application (Application): The function itself.
    """

    kind: str
    path: str
    is_first: bool
    n_above: int
    application: Application

    @property
    def is_affine(self) -> bool:
        """Whether it has weights."""
        return KINDS[self.kind].has_weights

    @property
    def is_maximum(self) -> bool:
        """Whether it lets the largest element through."""
        return self.rule_class is MaximumRule

    @property
    def rule_class(self) -> RuleClass:
        """The class of the rules that it may get."""
        this = self.application
        if self.kind == "matrix product" and not has_weights(this):
            return InProportion
        return _rule_class(self.kind)

    @property
    def has_answer(self) -> bool:
        """Whether it is a product or a softmax, which do without a rule as well."""
        return self.rule_class in (Uniform, Taylor)


class Composite:
    """Assigns rules: the first of these that says something decides.

    Sums and maxima have rules of their own: at them, only ``choose``, ``by_link`` and
    ``by_kind`` come before ``sums`` and ``maximum``; and of ``by_link``, only rules
    for maxima apply to these. Products and the softmax need none: they get one by
    ``by_link`` or ``by_kind`` alone, :class:`Uniform` and :class:`Taylor`.

    Args:
        rule (Rule): For affine layers, unless something below says otherwise.
        choose (callable or None): ``choose(layer)`` returns a rule, or None to leave
            it to the others. See :class:`Layer`.
        by_link (mapping): Rules by the path of the link, where ``*`` stands for
            anything: ``{'/fc*': Epsilon()}``. The first that fits counts.
        first (Rule or None): For the affine layers next to the target.
        last (Rule or None): For the last ``n_last`` affine layers.
        n_last (int): How many those are.
        by_kind (mapping): Rules by kind: ``{'convolution': ZPlus()}``.
        sums (Rule or None): For sums, poolings and normalizations, which have no
            weights to choose among; None is :class:`Norm`, or :class:`Zero` or
            :class:`Gradient` if that is the ``rule``. Cells of recurrent networks, and
            matrix products whose factors both depend on the target, are no sums of
            inputs with weights: they take :class:`Epsilon`, :class:`Zero` and
            :class:`Norm` alone, and have the last one where ``sums`` is none of these.
        maximum (WinnerTakesAll or Gradient): For max pooling and other maxima. The
            two differ where several elements are the largest.

    Raises:
        TypeError: If something is no rule, or none for such a layer.
        ValueError: If ``by_kind`` has a kind that does not exist, or ``n_last`` is no
            int >= 1; on use, if the model has no link for a path in ``by_link``.

    .. admonition:: Example

        >>> rules = Composite(
        ...     Epsilon(), first=WSquare(), by_kind={'convolution': Gamma(0.5)}
        ... )
        >>> LRPCalculator(model, rule=rules)
    """

    def __init__(
        self,
        rule: SumRule,
        *,
        choose: Callable[[Layer], SumRule | MaximumRule | None] | None = None,
        by_link: Mapping[str, SumRule | MaximumRule | Taylor] | None = None,
        first: SumRule | None = None,
        last: SumRule | None = None,
        n_last: int = 1,
        by_kind: Mapping[str, SumRule | MaximumRule | Taylor] | None = None,
        sums: SumRule | None = None,
        maximum: MaximumRule | None = None,
    ) -> None:
        if choose is not None:
            check_callable("choose", choose)
        check_positive("n_last", n_last)
        if sums is None:
            sums = _sums_beside(rule)
        self.rule = rule
        self.choose = choose
        self.by_link = dict(by_link or {})
        self.first = first
        self.last = last
        self.n_last = n_last
        self.by_kind = dict(by_kind or {})
        self.sums = sums
        self.maximum = WinnerTakesAll() if maximum is None else maximum
        _check_rule("rule", rule, SumRule)
        _check_rule("sums", sums, SumRule)
        _check_rule("maximum", self.maximum, MaximumRule)
        for name, value in (("first", first), ("last", last)):
            if value is not None:
                _check_rule(name, value, SumRule)
        for path, linked in self.by_link.items():
            _check_rule(f"by_link[{path!r}]", linked, AnyRule)
        for kind, given in self.by_kind.items():
            _check_rule(f"by_kind[{kind!r}]", given, _rule_class(kind))

    def rule_of(self, layer: Layer) -> SumRule | MaximumRule | Taylor | None:
        """Return the rule of a layer; None for a product or softmax without one.

        Raises:
            TypeError: If ``choose`` gives what is no rule for such a layer.
        """
        chosen = None
        if self.choose is not None and not layer.has_answer:
            chosen = self.choose(layer)
        if chosen is not None:
            where = f"what choose returns for {layer.application.label}"
            _check_rule(where, chosen, layer.rule_class)
            return chosen
        for pattern, rule in self.by_link.items():
            is_meant = isinstance(rule, layer.rule_class)
            if is_meant and fnmatch.fnmatchcase(layer.path, pattern):
                return rule
        if layer.is_affine:
            if self.first is not None and layer.is_first:
                return self.first
            if self.last is not None and layer.n_above < self.n_last:
                return self.last
        if layer.kind in self.by_kind:
            of_kind = self.by_kind[layer.kind]
            where = f"by_kind[{layer.kind!r}] for {layer.application.label}"
            _check_rule(where, of_kind, layer.rule_class)
            return of_kind
        if layer.has_answer:
            return None
        if layer.is_maximum:
            return self.maximum
        if layer.is_affine:
            return self.rule
        return self.sums if isinstance(self.sums, layer.rule_class) else Norm()

    def check_links(self, paths: Collection[str]) -> None:
        """Raise a ValueError if a path of ``by_link`` fits none of the model's links.

        Args:
            paths (collection of str): Paths of all links of the model.
        """
        for pattern in self.by_link:
            if not fnmatch.filter(paths, pattern):
                known = ", ".join(list(paths)[:4]) or "none, since it is no Link"
                raise ValueError(
                    "by_link must have paths of the model's links, such as "
                    f"{known}; got {pattern!r}"
                )

    def __repr__(self) -> str:
        settings = {
            name: value
            for name, value in vars(self).items()
            if value is not None and value != {}
        }
        if self.last is None:
            del settings["n_last"]
        if isinstance(self.maximum, WinnerTakesAll):
            del settings["maximum"]
        inner = ", ".join(f"{k}={v!r}" for k, v in settings.items())
        return f"Composite({inner})"


def _sums_beside(rule: SumRule) -> SumRule:
    """Return the rule for sums where only that for layers is given."""
    for rule_class in (Zero, Gradient):
        if isinstance(rule, rule_class):
            return rule_class()
    return Norm()


def _rule_class(kind: str) -> RuleClass:
    """Return the class of the rules that a kind may get, of those that get any."""
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None or known.rule is None:
        allowed = [name for name, k in KINDS.items() if k.rule is not None]
        raise no_choice("a kind in by_kind", kind, allowed)
    return known.rule


def _check_rule(name: str, rule: object, allowed: Any) -> None:
    if not isinstance(rule, allowed):
        by_class = {
            MaximumRule: "WinnerTakesAll() or Gradient()",
            Uniform: "Uniform()",
            Taylor: "Taylor()",
            InProportion: "a rule in proportion, such as Epsilon() or Zero()",
        }
        sums = "a rule for sums of contributions, such as Epsilon()"
        meant = by_class.get(allowed, sums)
        raise TypeError(f"{name} must be {meant}, got {rule!r}")


def _at_sums(bias: str = "share") -> dict[str, Rule]:
    """Return what z+ comes to where all weights are 1 or -1, for outputs of any sign.

    With it, relevance stays positive and complete in residual networks: in a sum, what
    is against the sign of the sum gets none.
    """
    kinds = ("addition", "subtraction", "added constant", "subtracted from constant")
    return dict.fromkeys((*kinds, "pooling"), Gamma(np.inf, bias))


def _by_layer_kind(
    convolution: Rule, first: Rule | None = None, **by_kind: Rule
) -> Composite:
    """Return epsilon for linear layers, and another rule for convolutions."""
    rules = {"convolution": convolution, "deconvolution": convolution}
    return Composite(Epsilon(), first=first, by_kind={**rules, **by_kind})


def composite(
    name: str, low: float | Array = 0.0, high: float | Array = 1.0
) -> Composite:
    """Return a preset by name.

    Args:
        name (str): One of :data:`PRESETS`.
        low (float or array): Smallest value of an input, where the preset has the
            z^B rule at the first layer.
        high (float or array): Largest value.

    Raises:
        ValueError: If there is no such preset.
    """
    check_choice("rule", name, PRESETS)
    return PRESETS[name](Box(low, high))


#: The presets, by name; each makes a composite, given the rule for inputs in a box.
PRESETS: dict[str, Callable[[Box], Composite]] = {}


def _preset(make: Callable[[Box], Composite]) -> Callable[[Box], Composite]:
    """Decorate what makes a preset, whose docstring says when to take it."""
    PRESETS[make.__name__] = make
    return make


@_preset
def lrp0(box: Box) -> Composite:
    """The simple rule: without biases, it is the gradient times the input; noisy."""
    return Composite(Zero())


@_preset
def epsilon(box: Box) -> Composite:
    """The epsilon rule, for networks of linear layers; leaves weak evidence out."""
    return Composite(Epsilon())


@_preset
def alpha2_beta1(box: Box) -> Composite:
    """Evidence for and against in fixed proportions, 2 to -1."""
    return Composite(AlphaBeta(2, -1))


@_preset
def alpha1_beta0(box: Box) -> Composite:
    """Positive evidence alone, biases included; hardly differs between classes."""
    return Composite(AlphaBeta(1, 0), by_kind=_at_sums())


@_preset
def zplus(box: Box) -> Composite:
    """The z+ rule, positive evidence alone: smooth; hardly differs between classes."""
    return Composite(ZPlus(), by_kind=_at_sums())


@_preset
def gamma(box: Box) -> Composite:
    """The gamma rule: less noise than epsilon, still with evidence against."""
    return Composite(Gamma())


@_preset
def epsilon_plus(box: Box) -> Composite:
    """Epsilon at linear layers, z+ at convolutions: a start for images."""
    return _by_layer_kind(ZPlus(), **_at_sums())


@_preset
def epsilon_plus_flat(box: Box) -> Composite:
    """As epsilon_plus; the first layer says which region, not which pixel."""
    return _by_layer_kind(ZPlus(), first=Flat(), **_at_sums())


@_preset
def epsilon_alpha2_beta1(box: Box) -> Composite:
    """Epsilon at linear layers, alpha 2 and beta -1 at convolutions."""
    return _by_layer_kind(AlphaBeta(2, -1))


@_preset
def epsilon_alpha2_beta1_flat(box: Box) -> Composite:
    """As epsilon_alpha2_beta1; the first layer says which region, not which pixel."""
    return _by_layer_kind(AlphaBeta(2, -1), first=Flat())


@_preset
def epsilon_gamma_box(box: Box) -> Composite:
    """Epsilon at linear layers, gamma at convolutions, z^B at the pixels."""
    return _by_layer_kind(Gamma(), first=box)


@_preset
def deep_taylor(box: Box) -> Composite:
    """Deep Taylor decomposition: z^B at the pixels and z+ above."""
    return Composite(ZPlus(), first=box, by_kind=_at_sums())


@_preset
def zbab(box: Box) -> Composite:
    """z^B at the pixels, alpha 2 and beta -1 above."""
    return Composite(AlphaBeta(2, -1), first=box)


@_preset
def wwab(box: Box) -> Composite:
    """w^2 at a first layer whose inputs have no bounds, alpha 2 and beta -1 above."""
    return Composite(AlphaBeta(2, -1), first=WSquare())


@_preset
def attn_lrp(box: Box) -> Composite:
    """AttnLRP (Achtibat et al. 2024), for transformers: through attention as well."""
    products = {"product": Uniform(), "matrix product": Uniform()}
    return Composite(Epsilon(), by_kind={"softmax": Taylor(), **products})


@_preset
def excitation_backprop(box: Box) -> Composite:
    """Excitation backpropagation (Zhang et al. 2016): z+ without biases."""
    return Composite(ZPlus(bias="ignore"), by_kind=_at_sums("ignore"))


class Assignment(PrintedTable):
    """The rules that the functions of one graph got, in the order of the walk.

    Args:
        composite (Composite): Decides.
        applications (sequence of Application): The functions, from the output down.
        paths (mapping): Path of each link, by its id.
    """

    n_text_column = 3

    def __init__(
        self,
        composite: Composite,
        applications: Sequence[Application],
        paths: Mapping[int, str],
    ) -> None:
        composite.check_links(list(paths.values()))
        self._paths = paths
        self.layers: list[tuple[Layer, SumRule | MaximumRule | Taylor]] = []
        self._rules: dict[chainer.FunctionNode, SumRule | MaximumRule | Taylor] = {}
        self._one_with: dict[chainer.FunctionNode, str] = {}
        above = 0
        first = _first_layers(applications)
        for this in applications:
            kind = kind_at(this)
            if kind is None or kind.rule is None:
                continue
            is_first = this.function in first
            layer = Layer(kind.name, self._path(this), is_first, above, this)
            rule = composite.rule_of(layer)
            if rule is None:
                continue
            self.layers.append((layer, rule))
            self._rules[this.function] = rule
            above += layer.is_affine

    def is_part_of(self, upper: Application, lower: Application) -> bool:
        """Tell whether a function is one with the layer ``lower``, under its rule."""
        rule = self._rules.get(lower.function)
        takes_merged = isinstance(rule, SumRule) and rule.takes_merged
        return takes_merged and is_part_of(upper, lower)

    def handle(self, this: Application) -> InputRelevance:
        """Return the relevance of a function's inputs, by its rule."""
        for upper in this.merged:
            self._one_with[upper.function] = f"one with {self._path(this) or 'below'}"
        return handle(this, self._rules.get(this.function))

    def describe(self, this: Application) -> tuple[str, str]:
        """Return the path of the link that applied a function, and its rule.

        After a walk, that says of a normalization that was treated as one with the
        layer below it which layer that is.
        """
        path = self._path(this) or "-"
        if this.function in self._one_with:
            return path, self._one_with[this.function]
        rule = self._rules.get(this.function)
        return path, "" if rule is None else repr(rule)

    def _path(self, this: Application) -> str:
        return "" if this.link is None else self._paths.get(id(this.link), "")

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [("layer", "function", "rule")]
        for layer, _ in self.layers:
            path, rule = self.describe(layer.application)
            name = type(function_of(layer.application.function)).__name__
            rows.append((path, name, rule))
        return rows


def _first_layers(applications: Sequence[Application]) -> set[chainer.FunctionNode]:
    """Return the affine functions with no other one between them and a target."""
    behind_a_layer: set[chainer.variable.VariableNode] = set()
    first = set()
    for this in reversed(applications):
        function = this.function
        is_behind = any(
            function.inputs[i] in behind_a_layer for i in this.active_indexes
        )
        kind = kind_at(this)
        is_affine = kind is not None and kind.has_weights
        if is_affine and not is_behind:
            first.add(function)
        if is_affine or is_behind:
            behind_a_layer.update(ref() for ref in function.outputs)
    return first
