"""A gated graph network on molecule-like graphs: ours beside the loop and Captum.

Saliency is read at the embedding of the atoms, which are integers.

    python benchmarks/ggnn.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from subjects import GivenNoise
from table import Row, Side, Subject, difference, in_standard_errors, main, same

from link_hooks import VariableMonitorLinkHook
from saliency import (
    GaussianNoiseSampler,
    GradientCalculator,
    IntegratedGradientsCalculator,
    SmoothGradCalculator,
)

import chainer
import chainer.functions as F
import chainer.links as L

SIGMA = 0.15


class GGNN(chainer.Chain):
    """Gated graph sequence neural network: Li et al. (2016), arXiv:1511.05493."""

    def __init__(self, n_unit: int = 32, n_type: int = 4, n_step: int = 4) -> None:
        super().__init__()
        self.n_type, self.n_step = n_type, n_step
        with self.init_scope():
            self.embed = L.EmbedID(20, n_unit)
            self.message = L.Linear(n_unit, n_type * n_unit)
            self.gates_m = L.Linear(n_unit, 2 * n_unit)
            self.gates_h = L.Linear(n_unit, 2 * n_unit)
            self.new_m = L.Linear(n_unit, n_unit)
            self.new_h = L.Linear(n_unit, n_unit)
            self.gate = L.Linear(2 * n_unit, 2)
            self.value = L.Linear(n_unit, 2)
        self.embed.W.array[0] = 0  # what stands behind a molecule's last atom

    def forward(self, atoms: Any, adjacency: Any) -> chainer.Variable:
        return self.from_embedding(self.embed(atoms), adjacency, atoms)

    def from_embedding(self, h: Any, adjacency: Any, atoms: Any) -> chainer.Variable:
        n_graph, n_type, n_atom, _ = adjacency.shape
        h0 = h
        for _ in range(self.n_step):
            sent = self.message(h, n_batch_axes=2)
            sent = F.reshape(sent, (n_graph, n_atom, n_type, -1)).transpose(0, 2, 1, 3)
            m = F.sum(F.matmul(adjacency, sent), axis=1)
            gates = self.gates_m(m, n_batch_axes=2) + self.gates_h(h, n_batch_axes=2)
            update, reset = F.split_axis(F.sigmoid(gates), 2, axis=2)
            new = self.new_m(m, n_batch_axes=2) + self.new_h(reset * h, n_batch_axes=2)
            h = (1 - update) * h + update * F.tanh(new)
        gate = F.sigmoid(self.gate(F.concat([h, h0], axis=2), n_batch_axes=2))
        is_atom = (chainer.as_variable(atoms).array > 0)[..., None].astype(
            adjacency.dtype
        )
        return F.sum(gate * self.value(h, n_batch_axes=2) * is_atom, axis=1)


def molecules(n: int, n_atom: int, n_type: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random graphs like molecules: chains with some rings, padded.

    Returns:
        tuple: Atoms ``(n, n_atom)``, where 0 is none, and adjacency
        ``(n, n_type, n_atom, n_atom)``.
    """
    rng = np.random.default_rng(0)
    atoms = np.zeros((n, n_atom), np.int32)
    adjacency = np.zeros((n, n_type, n_atom, n_atom), np.float32)
    for i in range(n):
        length = rng.integers(n_atom // 2, n_atom + 1)
        atoms[i, :length] = rng.integers(1, 20, length)
        chain = [(int(rng.integers(max(0, a - 3), a)), a) for a in range(1, length)]
        rings = [rng.choice(length, 2, replace=False) for _ in range(length // 8)]
        for a, b in chain + rings:
            adjacency[i, rng.integers(n_type), [a, b], [b, a]] = 1
    return atoms, adjacency


class Molecules(Subject):
    name = "ggnn"
    title = "GGNN on 100 graphs of up to 24 atoms, beside Captum and the plain loop"
    about = (
        "`benchmarks/ggnn.py`. Saliency of the embedded atoms. Weights are random, the "
        "same on all sides."
    )
    rounds = (9, 5)
    sizes_of_peer = (100, 500, 3000)  # all graphs at least

    def __init__(self, images: int | None, dtype: Any) -> None:
        super().__init__(images, dtype)
        np.random.seed(0)  # Chainer initializes with it
        self.model = GGNN()
        self.atoms, adjacency = molecules(images or 100, 24, self.model.n_type)
        self.adjacency = adjacency.astype(dtype)
        for parameter in self.model.params():
            parameter.array = parameter.array.astype(dtype, copy=False)
        with chainer.no_backprop_mode():
            scores = self.model(self.atoms, self.adjacency).array
        self.classes = scores.argmax(axis=1).astype(np.int64)

    def make_twin(self) -> Any:
        from peers import twins

        return twins.GGNN(self.model)

    def tensors(self) -> tuple[Any, ...]:
        """Return atoms, adjacency and classes as PyTorch has them."""
        from peers.tensors import tensor

        arrays = self.atoms.astype(np.int64), self.adjacency, self.classes
        return tuple(map(tensor, arrays))

    def calculator(self, kind: Any, **settings: Any) -> Any:
        """Return a calculator that reads saliency at the embedding."""
        return kind(
            self.model,
            target_extractor=VariableMonitorLinkHook(self.model.embed),
            class_index=self.classes,
            **settings,
        )

    def compute(self, calculator: Any, size: int | None, M: int = 1) -> np.ndarray:
        """Return the saliency of all graphs."""
        data = self.atoms, self.adjacency
        return calculator.compute(data, M, size, show_progress=False, seed=0)

    def gradient(self, change: Any) -> np.ndarray:
        """Return the gradient at the changed embedding, as Chainer alone gives it."""
        h = chainer.Variable(change(self.model.embed(self.atoms).array))
        self.model.cleargrads()
        scores = self.model.from_embedding(h, self.adjacency, self.atoms)
        F.sum(F.select_item(scores, self.classes)).backward()
        return h.grad

    def rows(self) -> list[Row]:
        return [
            self.vanilla_grad(),
            self.smooth_grad(30),
            self.integrated_gradients(50),
        ]

    def vanilla_grad(self) -> Row:
        """Return VanillaGrad's row."""
        ours = self.calculator(GradientCalculator)

        def captum(size: int, _: int) -> np.ndarray:
            from captum.attr import LayerGradientXActivation
            from peers.tensors import array

            method = LayerGradientXActivation(
                self.twin, self.twin.embed, multiply_by_inputs=False
            )
            atoms, adjacency, classes = self.tensors()
            found = method.attribute(
                atoms, additional_forward_args=adjacency, target=classes
            )
            return array(found)

        return Row(
            "vanilla",
            "VanillaGrad",
            {
                "ours": Side(lambda size, _: self.compute(ours, size), (None,)),
                "captum": Side(captum),
                "loop": Side(lambda size, _: self.gradient(lambda h: h)),
            },
            same,
            same,
        )

    def smooth_grad(self, M: int) -> Row:
        """Return SmoothGrad's row."""
        sampler = GaussianNoiseSampler("absolute", SIGMA)
        ours = self.calculator(SmoothGradCalculator, noise_sampler=sampler)

        def captum(size: int, M: int) -> np.ndarray:
            from peers import with_captum
            from peers.tensors import array

            atoms, adjacency, _ = self.tensors()
            embedded = array(self.twin.embed(atoms))
            return with_captum.smooth_grad(
                self.twin.from_embedding,
                embedded,
                self.classes,
                M,
                SIGMA,
                size,
                additional_forward_args=(adjacency, atoms),
            )

        def by_loop(size: int, M: int) -> np.ndarray:
            rng = np.random.default_rng(0)

            def noisy(h: np.ndarray) -> np.ndarray:
                noise = rng.standard_normal(h.shape, dtype=np.float32)
                return h + np.float32(SIGMA) * noise

            return sum(self.gradient(noisy) for _ in range(M)) / M

        return Row(
            "smoothgrad",
            f"SmoothGrad, M = {M}",
            {
                "ours": Side(lambda size, M: self.compute(ours, size, M), (None,)),
                "captum": Side(captum, self.sizes_of_peer),
                "loop": Side(by_loop),
            },
            in_standard_errors,
            lambda results: self._with_same_noise(),
            M,
            M,
            True,
        )

    def _with_same_noise(self) -> str:
        """Compare with Captum's gradient of one graph at the same noisy embedding."""
        from peers import with_captum
        from peers.tensors import array

        atoms, adjacency, _ = self.tensors()
        clean = array(self.twin.embed(atoms[:1]))
        rng = np.random.default_rng(1)
        noise = (SIGMA * rng.standard_normal(clean.shape)).astype(clean.dtype)
        ours = SmoothGradCalculator(
            self.model,
            VariableMonitorLinkHook(self.model.embed),
            class_index=int(self.classes[0]),
            noise_sampler=GivenNoise(noise),
        ).compute((self.atoms[:1], self.adjacency[:1]), M=1, show_progress=False)
        theirs = with_captum.vanilla_grad(
            self.twin.from_embedding,
            clean + noise,
            self.classes[:1],
            additional_forward_args=(adjacency[:1], atoms[:1]),
        )
        return f"with the same noise captum {difference(ours[0], theirs)}"

    def integrated_gradients(self, steps: int) -> Row:
        """Return the row of Integrated Gradients."""

        def ours(size: int | None, n: int) -> np.ndarray:
            kind = IntegratedGradientsCalculator
            return self.compute(self.calculator(kind, steps=n), size)

        def captum(size: int, n: int) -> np.ndarray:
            from captum.attr import LayerIntegratedGradients
            from peers.tensors import array

            atoms, adjacency, classes = self.tensors()
            # Atom 0 is embedded as 0: both sides start from the same baseline.
            found = LayerIntegratedGradients(self.twin, self.twin.embed).attribute(
                atoms,
                additional_forward_args=adjacency,
                target=classes,
                n_steps=n,
                internal_batch_size=max(size, len(atoms)),
            )
            return array(found)

        def by_loop(size: int, n: int) -> np.ndarray:
            points, weights = np.polynomial.legendre.leggauss(n)
            total = np.float32(0)
            for point, weight in zip((points + 1) / 2, weights / 2):
                at = np.float32(point)
                total = total + np.float32(weight) * self.gradient(lambda h: at * h)  # noqa: B023
            return total * self.model.embed(self.atoms).array

        return Row(
            "ig",
            f"IntegratedGradients, {steps} steps",
            {
                "ours": Side(ours, (None,)),
                "captum": Side(captum, self.sizes_of_peer),
                "loop": Side(by_loop),
            },
            same,
            same,
            steps,
            steps,
            True,
        )


if __name__ == "__main__":
    main(Molecules)
