"""FullGrad: the gradient at the input, and what the biases of all layers add."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.calculator.base_calculator import BaseCalculator
from saliency.calculator.bias_terms import (
    BiasTerm,
    bias_term,
    by_name,
    sums_of_rows,
)
from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches
from saliency.calculator.engine.explained_output import Explained
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.rows import CannotFold, one_row
from saliency.calculator.graph_calculator import (
    GraphCalculator,
    GraphRun,
    at_calls,
    graph_run_of,
)
from saliency.calculator.planes import Wiring, resized
from saliency.configured import takes_settings_of
from saliency.lrp.graph import Application, Graph, InputRelevance, Relevances

import chainer


class FullGradients(NamedTuple):
    """The terms that add up to the scores.

    Attributes:
        inputs (numpy.ndarray): The target times the gradient there, ``(M, N) + target
            shape``.
        biases (dict): What each function with a bias adds, from the input on: by the
            path of its link, or the name of the function outside any link; numbered
            where a link has several, as in ``'/norm (2)'``. Each is ``(M, N) + shape``
            of the function's output; or ``(M, N)`` where it cannot be told which of its
            elements the bias belongs to.
        scores (numpy.ndarray): What was explained, ``(M, N)``.
    """

    inputs: np.ndarray
    biases: dict[str, np.ndarray]
    scores: np.ndarray


class FullGradCalculator(GraphCalculator):
    r"""FullGrad: the gradient at the input, and what the biases of all layers add.

    Srinivas and Fleuret (2019), "Full-gradient representation for neural network
    visualization", NeurIPS, arXiv:1905.00780. The score of a network is exactly

    .. math::
        f(x) = \nabla_x f(x)^\top x + \sum_l f^b_l(x), \quad
        f^b_l(x) = \nabla_{b_l} f(x) \odot b_l

    with the biases :math:`b_l` of all layers, which are found in the graph: those of
    links, shifts of batch normalization, added constants, and the implicit biases of
    functions that are not piecewise linear, such as :math:`h(x) - h'(x) x` of a
    softplus. :meth:`decomposition` returns the terms. ``compute`` gives the saliency of
    an image, a map ``(M, N, h, w)``:

    .. math::
        S(x) = \sum_c \psi(\nabla_x f(x) \odot x)_c
            + \sum_l \sum_c \psi(f^b_l(x))_c

    where :math:`\psi` takes the magnitudes, rescales those of each layer to [0, 1], and
    brings them to the size of the image by linear interpolation, with the centres of
    pixels aligned; the sums are over channels. Layers without planes, such as linear
    ones, are in the decomposition alone. Where images go into a normalization by their
    own statistics or a product of two activations, most of the score is implicit
    biases, which say little.

    The arguments are those of
    :class:`~saliency.calculator.base_calculator.BaseCalculator`. There is one target.

    Raises:
        ValueError: If there are several targets; in a call, if the output is one value
            for the whole batch, the terms do not add up to the score, or, in
            ``compute``, the target is no image: its axes must be ``(batch, channel,
            ...)``.
    """

    tells_calls_apart = False

    def check(self) -> None:
        """Raise a ValueError if there are several targets."""
        super().check()
        self._subject().refuse_several_targets(type(self).__name__)

    def start(self, batches: Batches, passes: CleanPasses) -> FullGradRun:
        """Return what holds the terms of a pass."""
        return FullGradRun()

    def walk(self, graph: Graph, this: ForwardPass, classes: Explained) -> Relevances:
        """Walk with the gradient, and note what each function adds by itself."""
        if this.gives_one_value():
            raise ValueError(
                f"{type(self).__name__} needs an output with a row for each example, "
                "got one value for the batch, whose terms belong to no example"
            )
        run = _run_of(this)
        run.terms, n_row = [], len(this.rows)
        paths = self._paths()

        def handle(application: Application) -> InputRelevance:
            gradient = application.gradient()
            link = application.link
            path = "" if link is None else paths.get(id(link), "")
            term = bias_term(application, gradient, n_row, path)
            if term is not None:
                run.terms.append(term)
            return gradient

        run.scores = this.scores(classes)
        return graph.walk(this.weights(classes), handle)

    def collect(self, this: ForwardPass, relevances: Relevances) -> Array:
        """Return the map of each row."""
        size = _size_of_planes(this)
        inputs, terms = self._terms(this, relevances)
        wiring = Wiring(this.outputs)
        maps = _psi(inputs, size)
        for term in terms.values():
            if term.values.ndim == inputs.ndim and _is_of_planes(term, wiring):
                maps = maps + _psi(term.values, size)
        return maps

    def _terms(
        self, this: ForwardPass, relevances: Relevances
    ) -> tuple[Array, dict[str, BiasTerm]]:
        """Return the target's term and those of biases, whose sums have been checked.

        Raises:
            CannotFold: If the terms of rows together do not add up to their scores: in
                some layer axis 0 is not that of the rows.
            ValueError: If those of one row do not.
        """
        run = _run_of(this)
        pairs = zip(this.origins, at_calls(this, relevances))
        inputs = this.of_explained_call([x * g for x, g in pairs])
        terms = by_name(run.terms)
        run.terms = []
        n_row = len(this.rows)
        for term in terms.values():
            term.values = _with_row_axis(term.values, n_row)
        arrays = [inputs, *(term.values for term in terms.values())]
        total, size = sums_of_rows(arrays, n_row)
        off = abs(total - run.scores)
        slack = 3 * float(np.finfo(inputs.dtype).eps) ** 0.5
        if not (off <= slack * (size + abs(run.scores))).all():
            if n_row > 1:
                raise CannotFold(one_row)
            raise ValueError(
                "the terms of FullGrad must add up to the score, "
                f"{float(run.scores[0]):.6g}, but their sum is {float(total[0]):.6g}. "
                "Does one of several outputs not depend on the target, or does a "
                "function hide others?"
            )
        return inputs, terms

    @takes_settings_of(BaseCalculator.compute, but=("retain_inputs", "postprocess_fn"))
    def decomposition(self, data: Any, M: int = 1, **settings: Any) -> FullGradients:
        """Compute the terms whose sum is the score of each example.

        It works for targets of any shape.

        Args:
            M (int): Number of samples.

        Returns:
            FullGradients: The terms at the target and of all biases, and the scores.
        """
        terms = _Decomposition(**self.settings())
        flat = terms.compute(data, M, **settings)
        run = terms._last_run
        assert isinstance(run, FullGradRun)  # what its start has returned
        ends = np.cumsum([int(np.prod(shape)) for shape in run.shapes.values()])
        parts = {
            name: part.reshape(part.shape[:2] + shape)
            for (name, shape), part in zip(
                run.shapes.items(), np.split(flat, ends[:-1], axis=2)
            )
        }
        inputs, scores = parts.pop(_INPUTS), parts.pop(_SCORES)
        return FullGradients(inputs, parts, scores)

    def _paths(self) -> dict[int, str]:
        if not isinstance(self.model, chainer.Link):
            return {}
        return {id(link): path for path, link in self.model.namedlinks()}


class FullGradRun(GraphRun):
    """What one call of FullGrad holds.

    Attributes:
        terms (list of BiasTerm): Those of the pass, from the output down.
        scores (array): The explained scores of the pass.
        shapes (dict): In a decomposition, the shape of each term, by its name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.terms: list[BiasTerm] = []
        self.scores: Any = None
        self.shapes: dict[str, tuple[int, ...]] = {}


class _Decomposition(FullGradCalculator):
    """The terms of each row, flattened, one behind the other."""

    def collect(self, this: ForwardPass, relevances: Relevances) -> Array:
        run = _run_of(this)
        inputs, terms = self._terms(this, relevances)
        xp = chainer.backend.get_array_module(inputs)
        arrays = {
            _INPUTS: inputs,
            **{name: term.values for name, term in terms.items()},
            _SCORES: xp.asarray(run.scores, inputs.dtype),
        }
        shapes = {name: array.shape[1:] for name, array in arrays.items()}
        if run.shapes not in ({}, shapes):
            raise ValueError(
                "decomposition needs layers of one shape in all examples, got "
                f"{run.shapes} and {shapes}; pass examples of one length at a time"
            )
        run.shapes = shapes
        flat = [array.reshape(len(inputs), -1) for array in arrays.values()]
        return xp.concatenate(flat, axis=1)


# Names that are no paths of links.
_INPUTS, _SCORES = "inputs", "scores"


def _run_of(this: ForwardPass) -> FullGradRun:
    run = graph_run_of(this)
    assert isinstance(run, FullGradRun)  # what start has returned
    return run


def _with_row_axis(values: Array, n_row: int) -> Array:
    """Return what a function gave with the rows on axis 0, where each has several.

    Raises:
        CannotFold: If axis 0 cannot be that of the rows.
    """
    if len(values) == n_row:
        return values
    if len(values) % n_row:
        raise CannotFold(one_row)
    return values.reshape(n_row, len(values) // n_row, *values.shape[1:])


def _size_of_planes(this: ForwardPass) -> tuple[int, ...]:
    """Return the lengths of the target's axes from 2 on.

    Raises:
        ValueError: If the target is no image.
    """
    target = this.targets[0]
    is_image = target.ndim >= 3 and not this.run.is_whole_target
    if not (is_image and Wiring(this.outputs).is_of_planes(target)):
        raise ValueError(
            "FullGrad's map is one of images: the axes of the target must be (batch, "
            f"channel, ...), as a convolution shows, got shape {target.shape}. "
            "FullGradCalculator.decomposition(data) gives the terms for any target"
        )
    return tuple(target.shape[2:])


def _is_of_planes(term: BiasTerm, wiring: Wiring) -> bool:
    (output,) = (ref() for ref in term.application.function.outputs)
    return term.has_places and wiring.is_of_planes(output)


def _psi(terms: Array, size: tuple[int, ...]) -> Array:
    r"""Return :math:`\sum_c \psi(f)_c`: magnitudes, rescaled, of another size."""
    magnitudes = abs(terms)
    axes = tuple(range(1, terms.ndim))
    low = magnitudes.min(axis=axes, keepdims=True)
    width = magnitudes.max(axis=axes, keepdims=True) - low
    xp = chainer.backend.get_array_module(terms)
    rescaled = (magnitudes - low) / xp.where(width > 0, width, 1)
    return resized(rescaled.sum(axis=1), size)
