"""A score for each atom, by every method; shared by the molecule examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from molecules import Graph, concat_mols

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    BaseCalculator,
    BayesGradCalculator,
    DeepLiftCalculator,
    ExpectedGradientsCalculator,
    GradientCalculator,
    GuidedIntegratedGradientsCalculator,
    IntegratedGradientsCalculator,
    LimeCalculator,
    LRPCalculator,
    OcclusionCalculator,
    ShapleyCalculator,
    SmoothGradCalculator,
    VariableMonitorLinkHook,
    cut_to_lengths,
)

import chainer


def atom_scores(
    calculator: BaseCalculator,
    graphs: Sequence[Graph],
    M: int = 1,
    method: str = "raw",
    batchsize: int = 64,
    **settings: Any,
) -> list[np.ndarray]:
    """Return the score of each atom of each molecule, ``(n_atom,)`` for each.

    Args:
        calculator (BaseCalculator): One that reads saliency at the embedding.
        graphs (list): Graphs ``(atoms, adjacency)``.
        M (int): Number of samples.
        method (str): What is done with each channel before the sum over them.
        batchsize (int): Rows of a pass.
        settings: Of ``compute_aggregate``.
    """
    scores = calculator.compute_aggregate(
        graphs,
        M,
        method,
        ch_axis=3,
        batchsize=batchsize,
        converter=concat_mols,
        **settings,
    )
    return cut_to_lengths(scores, calculator.lengths)


def signed_calculators(
    model: chainer.Chain, baseline: Any
) -> dict[str, tuple[BaseCalculator, bool]]:
    """Return calculators of what each atom adds to the output, or takes from it.

    Args:
        model (chainer.Chain): A network with an ``embed``.
        baseline (array): Embedding of no atom in particular, ``(n_unit,)``: where the
            paths of Integrated Gradients begin, what DeepLIFT compares with, and what
            covers an atom. An embedding of zeros is no atom at all.

    Returns:
        dict: For each name a calculator, and whether it wants several samples. The
        gradient by itself has no sign that means anything: the sum over channels is
        the derivative in a direction without a meaning. It is there to be compared.
    """
    at: dict[str, Any] = {"target_extractor": VariableMonitorLinkHook(model.embed)}
    times = {**at, "multiply_target": True}
    from_ = {**at, "baseline": baseline, "steps": 16}
    return {
        "VanillaGrad": (GradientCalculator(model, **at), False),
        "gradient x input": (GradientCalculator(model, **times), False),
        "SmoothGrad x input": (SmoothGradCalculator(model, **times), True),
        "BayesGrad x input": (BayesGradCalculator(model, **times), True),
        "IntegratedGradients": (IntegratedGradientsCalculator(model, **from_), False),
        "Guided IG": (
            # On any path that leads there, and not near the straight one alone.
            GuidedIntegratedGradientsCalculator(model, max_distance=1, **from_),
            False,
        ),
        "DeepLIFT": (DeepLiftCalculator(model, baseline=baseline, **at), False),
        "DeepLIFT from zero": (DeepLiftCalculator(model, **at), False),
        "Occlusion": (
            OcclusionCalculator(model, slide_axis=1, fill=baseline, **at),
            False,
        ),
        "LRP (epsilon)": (LRPCalculator(model, rule="epsilon", **at), False),
        "LRP (gamma)": (LRPCalculator(model, rule="gamma", **at), False),
    }


def slow_calculators(
    model: chainer.Chain, background: np.ndarray
) -> dict[str, tuple[BaseCalculator, bool]]:
    """Return calculators as :func:`signed_calculators` does, which take minutes.

    What an atom adds depends on which others are there; Shapley values are means over
    that, and LIME is a linear model of it. Expected Gradients go from a random atom to
    those of the molecule, at random points of the way.

    Args:
        model (chainer.Chain): A network with an ``embed``.
        background (array): Embeddings of atoms, ``(n_atom, n_unit)``.
    """
    baseline = background.mean(axis=0)
    at: dict[str, Any] = {"target_extractor": VariableMonitorLinkHook(model.embed)}
    orders: dict[str, Any] = {**at, "method": "sampling", "n_coalitions": 512}
    lime: dict[str, Any] = {**at, "n_samples": 512}
    return {
        "Shapley": (ShapleyCalculator(model, baseline=baseline, **orders), False),
        "Shapley from zero": (ShapleyCalculator(model, baseline=0, **orders), False),
        "LIME": (LimeCalculator(model, baseline=baseline, **lime), False),
        "LIME from zero": (LimeCalculator(model, baseline=0, **lime), False),
        "Expected Gradients": (
            ExpectedGradientsCalculator(model, background=background, steps=200, **at),
            False,
        ),
    }


def atom_embeddings(model: chainer.Chain, graphs: Sequence[Graph]) -> np.ndarray:
    """Return the embedding of each atom of some molecules, ``(n_atom, n_unit)``."""
    atoms = np.concatenate([atoms for atoms, *_ in graphs])
    embeddings: np.ndarray = chainer.cuda.to_cpu(model.embed.W.array)[atoms]
    return embeddings


def mean_embedding(model: chainer.Chain, graphs: Sequence[Graph]) -> np.ndarray:
    """Return the mean embedding of the atoms of some molecules, ``(n_unit,)``."""
    mean: np.ndarray = atom_embeddings(model, graphs).mean(axis=0)
    return mean
