r"""The propagation rules.

At a function that is affine in its input, :math:`z_k = \sum_j x_j w_{jk} + b_k`, a rule
says which share of the relevance :math:`R_k` each input gets. All that share relevance
out are one mechanism with different settings, :meth:`Rule.propagate`:

.. math::
    R_j = \sum_h \alpha_h \sum_k
        \frac{c^h_{jk}}{\sum_i c^h_{ik} + d^h_k} R_k

where a *half* h says which contributions :math:`c_{jk}` and which bias :math:`d_k`
count, by what it selects of x and of w. A selection is a function of an array that
keeps its shape: the positive part, the square, 1 everywhere.

What the bias gets is not passed on (but noted): with ``bias='share'``, the default, the
sum of the relevance falls by it; with ``bias='ignore'`` the bias is left out of the
denominator, and the inputs get all there is. Where a denominator is zero, nothing can
be shared out, and the relevance of that output ends there.

References:
    Bach et al. (2015), "On pixel-wise explanations for non-linear classifier decisions
    by layer-wise relevance propagation", PLoS ONE 10(7).
    Montavon et al. (2017), "Explaining nonlinear classification decisions with deep
    Taylor decomposition", Pattern Recognition 65.
    Montavon et al. (2019), "Layer-wise relevance propagation: an overview", in
    "Explainable AI: interpreting, explaining and visualizing deep learning".
    Lapuschkin et al. (2019), "Unmasking Clever Hans predictors and assessing what
    machines really learn", Nature Communications 10.
    Andeol et al. (2021), "Learning domain invariant representations by joint
    Wasserstein distance minimization".
    Achtibat et al. (2024), "AttnLRP: attention-aware layer-wise relevance propagation
    for transformers".
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Callable, ClassVar, Protocol

import numpy as np

from saliency.array_types import Array
from saliency.checks import check_choice
from saliency.lrp.arithmetic import Total, add, divide, negative, positive
from saliency.lrp.graph import Application, InputRelevance

import chainer

#: Says what of an array counts; it keeps the shape.
Selection = Callable[[Array], Array]


class Affine(Protocol):
    """A function that is affine in some of its inputs, as rules see it."""

    xs: list[Array]  # the inputs that get relevance
    output: Array  # z, with the bias

    def product(self, xs: Sequence[Array], select: Selection) -> Array:
        """Return sum_j x_j w_jk, by what is selected of the weights."""

    def transposed(self, s: Array, select: Selection) -> list[Array]:
        """Return sum_k w_jk s_k for each input, by what is selected of the weights."""

    def bias(self, select: Selection) -> Array:
        """Return what is selected of the bias; it broadcasts to the output."""


def every(a: Array) -> Array:
    """Return all of it."""
    return a


def square(a: Array) -> Array:
    """Return the square."""
    return a * a


def one(a: Array) -> Array:
    """Return 1 everywhere."""
    return chainer.backend.get_array_module(a).ones_like(a)


def nothing(a: Array) -> Array:
    """Return 0 everywhere."""
    return chainer.backend.get_array_module(a).zeros_like(a)


@dataclass(frozen=True)
class Term:
    """The contributions of what is selected of x and of w, with a sign."""

    x: Selection
    w: Selection
    sign: int = 1


@dataclass(frozen=True)
class Half:
    """A share of the relevance, and the contributions that it is divided by.

    Attributes:
        terms (tuple of Term): The contributions.
        bias (callable): Selects what of the bias is in the denominator.
        factor (float): The share.
        where (int): 1 or -1 if only outputs of that sign pass relevance on this way.
    """

    terms: tuple[Term, ...]
    bias: Selection
    factor: float = 1.0
    where: int = 0


class SumRule(ABC):
    """What is done with relevance at a function that sums contributions up.

    Attributes:
        epsilon (float): What keeps it from dividing by zero.
        takes_merged (bool): Whether it goes by ``affine``, which is a layer with the
            normalization behind it. One that looks at the function itself, which
            knows nothing of that, has False: then the normalization gets a rule of
            its own.
    """

    epsilon: float = 0.0
    takes_merged: ClassVar[bool] = False

    @abstractmethod
    def share(self, this: Application, affine: Affine) -> InputRelevance:
        """Return the relevance of a function's inputs, and note what the bias took.

        Args:
            this (Application): The function.
            affine (Affine): The same, as the weights and the bias that it comes to.
        """


class MaximumRule(ABC):
    """What is done with relevance at a function that lets the largest through."""

    @abstractmethod
    def choose(
        self, this: Application, is_winner: Array, relevance: Array, axes: Any
    ) -> InputRelevance:
        """Return the relevance of the input of a maximum over axes.

        Args:
            this (Application): The function.
            is_winner (array of bool): Which elements of the input are as large as the
                largest of their axes.
            relevance (array): Relevance of the output, with these axes of length 1.
            axes (tuple of int or None): The axes; None is all.
        """


class Rule(SumRule):
    """A propagation rule; subclasses set :attr:`halves` and :attr:`epsilon`.

    Args:
        bias (str): ``'share'``: the bias takes its share of the relevance.
            ``'ignore'``: it is left out of the denominator.

    Raises:
        ValueError: If ``bias`` is neither.
    """

    takes_merged = True

    def __init__(self, bias: str = "share") -> None:
        check_choice("bias", bias, ("share", "ignore"))
        self.bias = bias

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={_short(vars(self)[name])}"
            for name in inspect.signature(type(self)).parameters
            if name in vars(self) and (name, vars(self)[name]) != ("bias", "share")
        )
        return f"{type(self).__name__}({settings})"

    @property
    def halves(self) -> tuple[Half, ...]:
        """Which contributions count, and in which share."""
        return ()

    def share(self, this: Application, affine: Affine) -> InputRelevance:
        """Return the shares of :meth:`propagate`, and note that of the bias."""
        of_bias = Total(this.output_relevance) if this.keeps_account else None
        shares = self.propagate(affine, this.output_relevance, of_bias)
        if of_bias is not None:
            this.bias_relevance.append(of_bias.get())
        return this.at_active(shares)

    def propagate(
        self, affine: Affine, relevance: Array, of_bias: Total | None = None
    ) -> list[Array]:
        """Return the relevance of the inputs.

        Args:
            affine (Affine): The function.
            relevance (array): Relevance of its output.
            of_bias (Total or None): What the bias took is added to it.

        Returns:
            list of array: Of the shapes of the inputs, and the dtype of the relevance.
        """
        xp = chainer.backend.get_array_module(relevance)
        of_inputs = [Total(x) for x in affine.xs]
        halves = self.halves
        are_not_negative = _select_by_sign(halves) and _are_not_negative(affine.xs)
        for half in halves:
            terms = _terms_with_inputs(affine, half, are_not_negative)
            z, bias = self._denominator(affine, half, terms)
            s = divide(relevance, z, self.epsilon)
            if half.factor != 1:
                s = half.factor * s
            if half.where:
                s = s * (half.where * self._output(affine) > 0)
            s = xp.asarray(s)  # arithmetic makes a number of a scalar
            for term, xs in terms:
                back = affine.transposed(s, term.w)
                for total, x, b in zip(of_inputs, xs, back):
                    total.add_product(x, b, term.sign)
            if of_bias is not None:
                of_bias.add_product(bias, s)
        return [total.get() for total in of_inputs]

    def _output(self, affine: Affine) -> Array:
        """Return what the forward pass has computed, less the bias if ignored."""
        if self.bias == "share":
            return affine.output
        return affine.output - affine.bias(every)

    def _denominator(
        self, affine: Affine, half: Half, terms: Sequence[tuple[Term, list[Array]]]
    ) -> tuple[Array, Array]:
        """Return the sum of all contributions of a half, and the bias in it."""
        bias = affine.bias(nothing if self.bias == "ignore" else half.bias)
        if half == _WHOLE:
            return self._output(affine), bias
        z = None if isinstance(bias, int) else bias
        for term, xs in terms:
            product = affine.product(xs, term.w)
            if term.sign < 0:
                product = -product
            z = product if z is None else add(z, product)
        if z is None:
            z = chainer.backend.get_array_module(affine.output).zeros_like(
                affine.output
            )
        return z, bias


_WHOLE = Half((Term(every, every),), every)


def _terms_with_inputs(
    affine: Affine, half: Half, are_not_negative: bool
) -> list[tuple[Term, list[Array]]]:
    """Return the terms and what they select of x, without those that are zero.

    Args:
        affine (Affine): The function.
        half (Half): The terms.
        are_not_negative (bool): Whether its inputs are known not to be, as behind a
            rectifier. Then nothing of them has to be selected by its sign.
    """
    terms = []
    for term in half.terms:
        if are_not_negative and term.x is negative:
            continue
        is_whole = are_not_negative and term.x is positive
        xs = affine.xs if is_whole else [term.x(x) for x in affine.xs]
        if any(map(_is_any_not_zero, xs)):
            terms.append((term, xs))
    return terms


def _select_by_sign(halves: Sequence[Half]) -> bool:
    """Tell whether terms select inputs by their sign."""
    terms = (term for half in halves for term in half.terms)
    return any(term.x in (positive, negative) for term in terms)


def _are_not_negative(xs: Sequence[Array]) -> bool:
    """Tell whether nothing of arrays is negative or NaN."""
    return all(x.size > 0 and bool(x.min() >= 0) for x in xs)


def _is_any_not_zero(x: Array) -> bool:
    # As a rule, an element of the first example tells it.
    return bool((x.ndim > 0 and x[:1].any()) or x.any())


def stabilised_quotient(relevance: Array, z: Array, rule: SumRule | None) -> Array:
    """Return R / z with the epsilon of a rule, by default :class:`Norm`'s."""
    return divide(relevance, z, (rule or Norm()).epsilon)


def _short(value: Any) -> str:
    if np.ndim(value) == 0:
        return repr(value)
    return f"<array of shape {np.shape(value)}>"


class InProportion(Rule):
    """A rule that passes relevance on in proportion to all contributions.

    These are the rules for functions that are no sum of inputs times weights: the cells
    of recurrent networks, and products whose factors both depend on the target. What a
    rule does with signs, or with weights, has no meaning there.
    """


class Zero(InProportion):
    r"""LRP-0, the simple rule: Bach et al. (2015), eq. 56.

    :math:`R_j = \sum_k z_{jk} / z_k R_k` with :math:`z_{jk} = x_j w_{jk}`. It grows
    without bound where contributions cancel.
    """

    halves = (_WHOLE,)


class Epsilon(InProportion):
    r"""LRP-epsilon: Bach et al. (2015), eq. 58.

    :math:`R_j = \sum_k z_{jk} / (z_k + \epsilon\,\mathrm{sign}(z_k)) R_k`, where
    sign(0) is 1. Epsilon takes relevance: the more, the weaker the output is.

    Args:
        epsilon (float): Positive.
        bias (str): See :class:`Rule`.

    Raises:
        ValueError: If ``epsilon`` is not a number > 0.
    """

    halves = (_WHOLE,)

    def __init__(self, epsilon: float = 1e-6, bias: str = "share") -> None:
        super().__init__(bias)
        if not (isinstance(epsilon, Real) and 0 < epsilon < np.inf):
            raise ValueError(f"epsilon must be a number > 0, got {epsilon!r}")
        self.epsilon = float(epsilon)


class Norm(Epsilon):
    """In proportion to the contributions; for sums and average pooling.

    LRP-epsilon (Bach et al. 2015, eq. 58) with an epsilon that only keeps from
    dividing by zero.

    Args:
        bias (str): See :class:`Rule`.
    """

    def __init__(self, bias: str = "share") -> None:
        super().__init__(1e-6, bias)


class ZPlus(Rule):
    r"""The z+ rule: positive contributions alone.

    :math:`R_j = \sum_k z_{jk}^+ / z_k^+ R_k` with :math:`z_{jk}^+ = (x_j w_{jk})^+`:
    Montavon et al. (2017), where x >= 0; here for inputs of any sign, as the
    alpha-beta rule with alpha = 1, beta = 0.
    """

    halves = (Half((Term(positive, positive), Term(negative, negative)), positive),)


class AlphaBeta(Rule):
    r"""The alpha-beta rule: Bach et al. (2015), eq. 60.

    :math:`R_j = \sum_k (\alpha z_{jk}^+ / z_k^+ + \beta z_{jk}^- / z_k^-) R_k` with
    alpha + beta = 1 and beta <= 0. Zennit and Captum write alpha - beta = 1 with
    beta >= 0: their (2, 1) is (2, -1) here. Where an output has no contributions of
    one sign, the share of that sign is missing: the sum of the relevance is not kept.

    Args:
        alpha (float): Weight of what speaks for the output.
        beta (float): Weight of what speaks against it, not positive.
        bias (str): See :class:`Rule`.

    Raises:
        ValueError: If alpha + beta is not 1, or beta > 0.
    """

    def __init__(
        self, alpha: float = 2.0, beta: float = -1.0, bias: str = "share"
    ) -> None:
        super().__init__(bias)
        is_pair = isinstance(alpha, Real) and isinstance(beta, Real)
        if not (is_pair and abs(alpha + beta - 1) < 1e-9 and beta <= 0):
            raise ValueError(
                "alpha and beta must be numbers with alpha + beta = 1 and beta <= 0, "
                "the convention of Bach et al. (2015). Others write alpha - beta = 1 "
                "with beta >= 0: give -beta for theirs, so (2, 1) is (2, -1) here. Got "
                f"alpha={alpha!r}, beta={beta!r}"
            )
        self.alpha, self.beta = float(alpha), float(beta)

    @property
    def halves(self) -> tuple[Half, ...]:
        """For and against."""
        for_it = Half(ZPlus.halves[0].terms, positive, self.alpha)
        terms = Term(positive, negative), Term(negative, positive)
        against_it = Half(terms, negative, self.beta)
        return (for_it, against_it) if self.beta else (for_it,)


class Gamma(Rule):
    r"""LRP-gamma: what speaks for the output counts :math:`1 + \gamma` times.

    :math:`R_j = \sum_k (z_{jk} + \gamma z_{jk}^+) / (z_k + \gamma z_k^+) R_k` where
    :math:`z_k > 0`: Montavon et al. (2019), for x >= 0. Here for inputs and outputs of
    any sign: where :math:`z_k < 0`, with :math:`z^-` in place of :math:`z^+` (Andeol et
    al. 2021). The denominator is never nearer to zero than the output is.

    Args:
        gamma (float): Not negative; 0 is LRP-0, and infinity leaves nothing but what
            has the sign of the output: z+ where that is positive.
        bias (str): See :class:`Rule`.

    Raises:
        ValueError: If ``gamma`` is negative.
    """

    def __init__(self, gamma: float = 0.25, bias: str = "share") -> None:
        super().__init__(bias)
        if not (isinstance(gamma, Real) and gamma >= 0):
            raise ValueError(f"gamma must be a number >= 0, got {gamma!r}")
        self.gamma: float = float(gamma)

    @property
    def halves(self) -> tuple[Half, ...]:
        """For outputs that are positive, and for those that are negative."""

        def more(w: Array, favoured: Array) -> Array:
            return favoured if np.isinf(self.gamma) else w + self.gamma * favoured

        def up(w: Array) -> Array:
            return more(w, positive(w))

        def down(w: Array) -> Array:
            return more(w, negative(w))

        terms = Term(positive, up), Term(negative, down)
        opposite = Term(positive, down), Term(negative, up)
        return Half(terms, up, where=1), Half(opposite, down, where=-1)


class Box(Rule):
    r"""The z^B rule, for inputs in a box :math:`l \le x \le h`, as pixels are.

    :math:`R_j = \sum_k c_{jk} / \sum_i c_{ik} R_k` with
    :math:`c_{jk} = x_j w_{jk} - l_j w_{jk}^+ - h_j w_{jk}^-`: Montavon et al. (2017).
    The bias has no share. An input outside of the box turns shares into their
    opposites: calculators warn of it.

    Args:
        low (float or array): l; a number, or an array that broadcasts to the input.
        high (float or array): h.

    Raises:
        ValueError: If ``low`` is above ``high``; on use, if a shape does not fit.
    """

    def __init__(self, low: float | Array = 0.0, high: float | Array = 1.0) -> None:
        super().__init__("ignore")
        for name, value in (("low", low), ("high", high)):
            if np.asarray(value).dtype.kind not in "fiu":
                raise TypeError(f"{name} must be a number or an array, got {value!r}")
        try:
            is_box = bool((np.asarray(low) <= np.asarray(high)).all())
        except ValueError:
            raise ValueError(
                "low and high must broadcast to one another, got shapes "
                f"{np.shape(low)} and {np.shape(high)}"
            ) from None
        if not is_box:
            raise ValueError(f"low must not be above high, got {low!r} and {high!r}")
        self.low, self.high = low, high

    @property
    def halves(self) -> tuple[Half, ...]:
        """The distances from the corner of the box where each output is least."""

        def low(x: Array) -> Array:
            return self._bound("low", x)

        def high(x: Array) -> Array:
            return self._bound("high", x)

        corner = Term(low, positive, -1), Term(high, negative, -1)
        return (Half((Term(every, every), *corner), nothing),)

    def holds(self, x: Array) -> bool:
        """Tell whether an input is in the box, but for rounding errors.

        Raises:
            ValueError: If the shape of ``low`` or ``high`` does not fit.
        """
        low, high = self._bound("low", x), self._bound("high", x)
        slack = 8 * np.finfo(x.dtype).eps * np.maximum(abs(low), abs(high))
        return bool(((x >= low - slack) & (x <= high + slack)).all())

    def _bound(self, name: str, x: Array) -> Array:
        value = getattr(self, name)
        xp = chainer.backend.get_array_module(x)
        try:
            return xp.broadcast_to(xp.asarray(value, x.dtype), x.shape)
        except ValueError:
            raise ValueError(
                f"{name} must be a number or broadcast to the input's shape {x.shape}, "
                f"got shape {np.shape(value)}"
            ) from None


class WSquare(Rule):
    r"""The w^2 rule, for inputs of any value.

    :math:`R_j = \sum_k w_{jk}^2 / \sum_i w_{ik}^2 R_k`: Montavon et al. (2017). The
    bias has no share.
    """

    halves = (Half((Term(one, square),), nothing),)

    def __init__(self) -> None:
        super().__init__("ignore")


class Flat(Rule):
    """Relevance in equal shares over all connected inputs: Lapuschkin et al. (2019).

    The w^2 rule with weights of 1. The bias has no share.
    """

    halves = (Half((Term(one, one),), nothing),)

    def __init__(self) -> None:
        super().__init__("ignore")


class Pass(SumRule):
    """Relevance goes through unchanged, to inputs of the output's shape.

    Several inputs get equal shares. A layer with a normalization behind it counts as
    one function.
    """

    takes_merged = True

    def share(self, this: Application, affine: Affine) -> InputRelevance:
        """Return the relevance of the output for each active input.

        Raises:
            ValueError: If the shape of an input does not broadcast to the output's.
        """
        r = this.output_relevance
        shapes = [this.inputs[i].shape for i in this.active_indexes]
        for shape in shapes:
            if not _broadcasts(shape, r.shape):
                raise ValueError(
                    f"the rule Pass() does not fit {this.label}: its input of shape "
                    f"{shape} has not the shape of its output, {r.shape}"
                )
        equal = r / len(shapes)
        return this.at_active(chainer.utils.sum_to(equal, shape) for shape in shapes)

    def __repr__(self) -> str:
        return "Pass()"


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


class WinnerTakesAll(MaximumRule):
    """Relevance goes to the largest element; for max pooling and maxima.

    As in Lapuschkin et al. (2016), "The LRP toolbox for artificial neural networks",
    JMLR 17. Elements of an axis that are equally large share equally; of those in a
    window, it is the one that the forward pass has chosen.
    """

    def choose(
        self, this: Application, is_winner: Array, relevance: Array, axes: Any
    ) -> InputRelevance:
        """Return equal shares of the relevance for all winners."""
        n_winner = is_winner.sum(axis=axes, keepdims=True).astype(relevance.dtype)
        return [is_winner * (relevance / n_winner)]

    def __repr__(self) -> str:
        return "WinnerTakesAll()"


class Uniform(Epsilon):
    r"""Equal shares of the factors of a product, none of which is taken for a gate.

    For products of elements, :math:`R_i = R / N` (Achtibat et al. 2024, proposition
    3.2), and for matrix products :math:`O = A V` (proposition 3.3),

    .. math::
        R_{ji} = \sum_p \frac{A_{ji} V_{ip}}{2 O_{jp} + \epsilon} R_{jp}

    for A, and likewise for V. A factor that does not depend on the target is a weight,
    and the other one gets its share. A gate that is computed element by element from
    the signal that it multiplies, as in ``x * sigmoid(x)`` or a GELU, belongs to one
    function of that signal, which gets all relevance.

    Args:
        epsilon (float): Positive; for matrix products.

    Raises:
        ValueError: If ``epsilon`` is not a number > 0.
    """

    def __init__(self, epsilon: float = 1e-6) -> None:
        super().__init__(epsilon)


class Taylor:
    r"""The softmax by its first-order Taylor expansion; Achtibat et al. (2024).

    .. math:: R_i = x_i \Bigl(R^s_i - s_i \sum_j R^s_j\Bigr)

    with :math:`s = \mathrm{softmax}(x)` and its relevance :math:`R^s`, expanded at x
    itself (proposition 3.1). What the expansion leaves over, its value at x = 0, counts
    as a bias. Elements that a mask has set to minus infinity get none.
    """

    def share(self, x: Array, s: Array, relevance: Array, axis: int) -> Array:
        """Return the relevance of x, given that of its softmax s along an axis."""
        xp = chainer.backend.get_array_module(x)
        gradient = relevance - s * relevance.sum(axis=axis, keepdims=True)
        return xp.where(xp.isfinite(x), x, x.dtype.type(0)) * gradient

    def __repr__(self) -> str:
        return "Taylor()"


class Gradient(SumRule, MaximumRule):
    """Relevance is multiplied by the gradient, as in backpropagation.

    That is so at sums, layers and maxima. Activations and scales pass relevance on
    unchanged, whatever the rules are; the gradient of a whole network is what
    :class:`~saliency.calculator.gradient_calculator.GradientCalculator` gives.
    """

    takes_merged = True

    def share(self, this: Application, affine: Affine) -> InputRelevance:
        """Return the gradients at the active inputs, with what is merged behind."""
        if this.merged:
            of_inputs = affine.transposed(this.output_relevance, every)
            return this.at_active(of_inputs)
        return this.gradient()

    def choose(
        self, this: Application, is_winner: Array, relevance: Array, axes: Any
    ) -> InputRelevance:
        """Return the gradient: each winner gets all of the relevance."""
        return this.gradient()

    def __repr__(self) -> str:
        return "Gradient()"
