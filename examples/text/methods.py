"""A score for each token, by every method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import (
    BaseCalculator,
    BayesGradCalculator,
    GradientCalculator,
    IntegratedGradientsCalculator,
    LRPCalculator,
    OcclusionCalculator,
    SmoothGradCalculator,
    VariableMonitorLinkHook,
    cut_to_lengths,
    list_examples,
)

import chainer


def calculators(
    model: chainer.Chain, baseline: np.ndarray, steps: int = 16
) -> dict[str, tuple[BaseCalculator, bool]]:
    """Return calculators of what each token adds to the output, or takes from it.

    Args:
        model (chainer.Chain): A network with an ``embed``.
        baseline (array): Embedding of no word in particular, ``(n_unit,)``: where the
            paths of Integrated Gradients begin, and what covers a token.
        steps (int): Points on such a path.

    Returns:
        dict: For each name a calculator, and whether it wants several samples. The
        gradient by itself has no sign that means anything: the sum over the embedding
        is the derivative in a direction without a meaning. It is there to be compared.
    """
    at: dict[str, Any] = {"target_extractor": VariableMonitorLinkHook(model.embed)}
    times = {**at, "multiply_target": True}
    from_ = {**at, "baseline": baseline, "steps": steps}
    return {
        "gradient": (GradientCalculator(model, **at), False),
        "gradient x input": (GradientCalculator(model, **times), False),
        "SmoothGrad x input": (SmoothGradCalculator(model, **times), True),
        "BayesGrad x input": (BayesGradCalculator(model, **times), True),
        "IntegratedGradients": (IntegratedGradientsCalculator(model, **from_), False),
        "Occlusion": (
            OcclusionCalculator(model, slide_axis=1, fill=baseline, **at),
            False,
        ),
        "LRP (epsilon)": (LRPCalculator(model, rule="epsilon", **at), False),
    }


def token_scores(
    calculator: BaseCalculator,
    sentences: Sequence[np.ndarray],
    M: int = 1,
    batchsize: int = 128,
    **settings: Any,
) -> list[np.ndarray]:
    """Return the score of each token of each sentence, ``(length,)`` for each.

    Args:
        calculator (BaseCalculator): One that reads saliency at the embedding.
        sentences (list): The numbers of their words.
        M (int): Number of samples.
        batchsize (int): Rows of a pass.
        settings: Of ``compute_aggregate``.
    """
    # LRP takes the steps of an LSTM one by one, which cuDNN would run as one.
    with chainer.using_config("use_cudnn", "never"):
        scores = calculator.compute_aggregate(
            list(sentences),
            M,
            ch_axis=3,
            batchsize=batchsize,
            converter=list_examples,
            **settings,
        )
    return cut_to_lengths(scores, calculator.lengths)


def mean_embedding(model: chainer.Chain, sentences: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean embedding of the words of some sentences, ``(n_unit,)``."""
    words = np.concatenate(sentences)
    mean: np.ndarray = chainer.cuda.to_cpu(model.embed.W.array)[words].mean(axis=0)
    return mean
