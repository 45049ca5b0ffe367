"""Explanations of all kinds for reports, with names that are no HTML."""

from __future__ import annotations

import numpy as np

from saliency import Explanation

#: What a page must show as it stands, and never run.
EVIL = "</script><script>window.stolen = 1</script><img src=x onerror='stolen=1'>&amp;"
SMILES = ("CC(=O)Oc1ccccc1C(=O)O", "ClCCBr", "[NH4+].[Cl-]")


def table(n: int = 30, title: str = "petal") -> Explanation:
    """Contributions of three features that add up to f(x)."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n, 3)) * [3, 2, 1]
    return Explanation(
        values,
        data=rng.normal(size=(n, 3)).round(2),
        feature_names=[title, "width", "height"],
        class_names=["setosa", "virginica"],
        classes=np.full(n, 1),
        scores=values.sum(axis=1) + 0.5,
        base_values=np.full(n, 0.5),
        index=np.array([f"flower {i}" for i in range(n)]),
        calculator="IntegratedGradientsCalculator(<Chain>, baseline='mean')",
    )


def images(n: int = 3, side: int = 24) -> Explanation:
    """Maps with one strongest pixel in each, over photographs."""
    rng = np.random.default_rng(1)
    values = rng.uniform(-0.1, 0.1, size=(n, side, side)).astype(np.float32)
    for i in range(n):
        values[i, 5 + i, 7] = 1 + i
    return Explanation(
        values,
        images=rng.integers(0, 255, size=(n, 2 * side, 2 * side, 3)).astype(np.uint8),
        class_names=["cat", "dog"],
        classes=np.arange(n) % 2,
        scores=np.arange(n) - 0.5,
        calculator="LRPCalculator(<Chain>)",
    )


def molecules() -> Explanation:
    """A score for each atom, which is 1 for the first and less for the others."""
    n_atom = (13, 4, 2)
    values = np.full((3, 13), np.nan)
    for row, n in zip(values, n_atom):
        row[:n] = 1 - np.arange(n) * 0.25
    return Explanation(
        values, molecules=SMILES, scores=np.arange(3.0), lengths=np.array(n_atom)
    )


def texts(n: int = 4) -> Explanation:
    """Two tokens that speak for the output and against it, among others."""
    tokens = [["a", "good", f"film{i}"][: 3 - i % 2] for i in range(n)]
    values = np.full((n, 3), np.nan)
    for row, text in zip(values, tokens):
        row[: len(text)] = [0.0, 2.0, -1.0][: len(text)]
    return Explanation(
        values,
        errors=np.abs(values) / 4,
        element_names=tokens,
        n_sample=5,
        settings="M=5, seed=3",
    )


def all_kinds() -> dict[str, Explanation]:
    return {
        "table": table(),
        "image": images(),
        "molecule": molecules(),
        "text": texts(),
    }
