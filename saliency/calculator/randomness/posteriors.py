"""Posteriors of a network's parameters beyond dropout, for BayesGrad."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from saliency.calculator.randomness.dropout_posterior import keeps_statistics
from saliency.checks import check_positive, is_finite

import chainer
from chainer.serializers import DictionarySerializer

# Members of an ensemble and draws of SWAG: arrays by the name that they have in
# Chainer's npz files, such as 'l1/W'.
Network = Mapping[str, np.ndarray]


class Posterior(ABC):
    r"""What networks are drawn from: :math:`W^{(m)} \sim p(W | D)`.

    ``compute(..., posterior=posterior)`` runs each sample with the parameters that are
    drawn for it, the same for all examples and steps. A subclass says what they are.
    It can be pickled where there are ``workers``.
    """

    @abstractmethod
    def draw(self, sample: int, rng: np.random.Generator) -> Network:
        """Return one network.

        Args:
            sample (int): Which of the M samples it is for.
            rng (numpy.random.Generator): Depends on the seed and the sample alone.

        Returns:
            dict: From the name of each parameter, as in Chainer's npz files, to its
            value. Persistent values may be there as well; those that are not stay what
            they are in the model.
        """


class EnsemblePosterior(Posterior):
    """Networks that were trained, or kept on the way, one by one.

    Sample m is member m modulo their number, so an M that is a multiple of it counts
    all alike. Networks that differ by their initialization: Lakshminarayanan et al.
    (2017), "Simple and scalable predictive uncertainty estimation using deep
    ensembles", arXiv:1612.01474. Snapshots of one training: Huang et al. (2017),
    "Snapshot ensembles: train 1, get M for free", arXiv:1704.00109. As samples of the
    posterior: Wilson and Izmailov (2020), "Bayesian deep learning and a probabilistic
    perspective of generalization", arXiv:2002.08791.

    Args:
        members: npz files of Chainer, or links, of which copies are taken. All are held
            in memory.
        path (str): Where in the files the network is, as for
            ``chainer.serializers.load_npz``; for example
            ``'updater/model:main/predictor/'`` in the snapshot of a trainer.

    Raises:
        TypeError: If a member is neither a file nor a link.
        ValueError: If there are no members, or they are not of the same parameters.

    Example:
        >>> from saliency import EnsemblePosterior
        >>> import chainer.links as L
        >>> len(EnsemblePosterior([L.Linear(3, 2), L.Linear(3, 2)]))
        2
    """

    def __init__(
        self,
        members: Sequence[str | PathLike[str] | chainer.Link],
        path: str = "",
    ) -> None:
        if isinstance(members, (str, PathLike)) or not isinstance(members, Iterable):
            raise TypeError(
                f"members must be a list of files or links, got {members!r}"
            )
        self._members = [_as_network(member, path) for member in members]
        if not self._members:
            raise ValueError("members is empty; there must be at least one network")
        for i, member in enumerate(self._members):
            differing = member.keys() ^ self._members[0].keys()
            if differing:
                raise ValueError(
                    f"members must have the same parameters, but {min(differing)!r} is "
                    f"in one of members[0] and members[{i}] alone"
                )

    def __len__(self) -> int:
        return len(self._members)

    def draw(self, sample: int, rng: np.random.Generator) -> Network:
        """Return member ``sample`` modulo their number."""
        return self._members[sample % len(self._members)]


class SWAGPosterior(Posterior, chainer.training.Extension):
    r"""A normal distribution around the parameters that a training goes through.

    Maddox et al. (2019), "A simple baseline for Bayesian uncertainty in deep
    learning", arXiv:1902.02476, algorithm 1 and equation 1:

    .. math:: \tilde\theta = \theta_{SWA}
        + \frac{1}{\sqrt 2} \Sigma_{diag}^{1/2} z_1
        + \frac{1}{\sqrt{2 (K - 1)}} \hat D z_2

    with the mean of what was collected, its variances, and the last K differences to
    the mean so far. It is collected when the training is near its end, with a learning
    rate that does not fall, about once an epoch: as an extension of a trainer, or by
    calls of :meth:`collect`. ``chainer.serializers.save_npz`` and ``load_npz`` keep it.

    Args:
        model (chainer.Link): The network in training, which is the one that is
            explained.
        rank (int): The K of the paper.

    Raises:
        TypeError: If ``model`` is no link.
        ValueError: If ``rank`` is less than 2, or ``model`` has batch normalization,
            whose statistics belong to one draw and would have to be estimated again.

    Example:
        >>> from saliency import SWAGPosterior
        >>> import chainer.links as L
        >>> model = L.Linear(3, 2)
        >>> swag = SWAGPosterior(model)
        >>> # trainer.extend(swag), or after each epoch:
        >>> swag.collect()
    """

    trigger = (1, "epoch")  # unless the trainer is told another

    def __init__(self, model: chainer.Link, rank: int = 20) -> None:
        if not isinstance(model, chainer.Link):
            raise TypeError(f"model must be a chainer.Link, got {type(model).__name__}")
        check_positive("rank", rank)
        if rank < 2:
            raise ValueError(f"rank must be at least 2, got {rank}")
        for name, link in model.namedlinks():
            if keeps_statistics(link):
                raise ValueError(
                    "model must be without batch normalization, whose statistics would "
                    f"have to be estimated again for each draw; {name} is a "
                    f"{type(link).__name__}"
                )
        self.rank = int(rank)
        self._model = model
        self._count = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        # Flat, in the order of the names: the mean, the sum of squared differences to
        # it, and the last differences to what it was.
        self._mean = np.zeros(0)
        self._squares = np.zeros(0)
        self._differences = np.zeros((0, 0), np.float32)

    def __getstate__(self) -> dict[str, Any]:
        # The network goes on being trained; what was collected is the posterior.
        return {k: v for k, v in vars(self).items() if k != "_model"}

    def __call__(self, trainer: Any) -> None:
        """Collect, as an extension of a trainer."""
        self.collect()

    def __len__(self) -> int:
        return self._count

    def collect(self) -> None:
        """Take the parameters that the model has now.

        Raises:
            ValueError: If one of them is not initialized, or not finite.
        """
        theta = self._flat()
        if self._count == 0:
            self._mean = np.zeros_like(theta)
            self._squares = np.zeros_like(theta)
            self._differences = np.zeros((self.rank, len(theta)), np.float32)
        self._count += 1
        difference = theta - self._mean
        self._mean = self._mean + difference / self._count
        self._squares = self._squares + difference * (theta - self._mean)
        # In the place of the oldest.
        self._differences[(self._count - 1) % self.rank] = theta - self._mean

    def draw(self, sample: int, rng: np.random.Generator) -> Network:
        """Return a draw of equation 1.

        Raises:
            ValueError: If parameters were collected less than twice.
        """
        if self._count < 2:
            raise ValueError(
                "posterior must have collected parameters at least twice, got "
                f"{self._count} times; call collect in the training, or extend the "
                "trainer with it"
            )
        K = min(self.rank, self._count)
        z_1 = rng.standard_normal(len(self._mean))
        z_2 = rng.standard_normal(K)
        of_diagonal = np.sqrt(self._squares / self._count / 2) * z_1
        of_low_rank = z_2 @ self._differences[:K] / np.sqrt(2 * (K - 1))
        return self._named(self._mean + of_diagonal + of_low_rank)

    def serialize(self, serializer: Any) -> None:
        """Read or write what was collected, as Chainer's serializers want it."""
        self._count = int(serializer("count", self._count))
        if self._count == 0:
            return
        names = ("_mean", "_squares", "_differences")
        if isinstance(serializer, chainer.serializer.Deserializer):
            shape = len(self._flat())
            self._mean, self._squares = np.zeros(shape), np.zeros(shape)
            self._differences = np.zeros((self.rank, shape), np.float32)
        for name in names:
            setattr(self, name, serializer(name[1:], getattr(self, name)))

    def _flat(self) -> np.ndarray:
        """Return all parameters of the model, and keep their shapes."""
        parameters = dict(sorted(self._model.namedparams()))
        for name, parameter in parameters.items():
            if not parameter.is_initialized:
                raise ValueError(
                    f"model must have parameters, but {name} is not initialized"
                )
        arrays = {
            name[1:]: chainer.get_device("@numpy").send(parameter.array)
            for name, parameter in parameters.items()
        }
        self._shapes = {name: array.shape for name, array in arrays.items()}
        flat = np.concatenate([array.ravel() for array in arrays.values()]).astype("d")
        if not is_finite(flat):
            raise ValueError("model must have finite parameters, got NaN or infinity")
        return flat

    def _named(self, flat: np.ndarray) -> Network:
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes.values()])
        parts = np.split(flat, ends[:-1])
        return {
            name: part.reshape(shape)
            for (name, shape), part in zip(self._shapes.items(), parts)
        }


def _as_network(member: Any, path: str) -> Network:
    """Return the arrays of a link or of a file."""
    if isinstance(member, chainer.Link):
        serializer = DictionarySerializer()
        serializer.save(member)
        arrays = {name: np.array(value) for name, value in serializer.target.items()}
        return {name: a for name, a in arrays.items() if not a.dtype.hasobject}
    if not isinstance(member, (str, PathLike)):
        raise TypeError(
            f"members must be npz files or links, got {type(member).__name__}"
        )
    with np.load(member, allow_pickle=False) as file:
        start = path.strip("/") + "/" if path.strip("/") else ""
        names = [name for name in file.files if name.startswith(start)]
        if not names:
            raise ValueError(
                f"path={path!r} is not in {str(member)!r}, which has "
                f"{', '.join(sorted(file.files)[:4])}, ..."
            )
        return {
            name[len(start) :]: file[name] for name in names if _holds_array(file, name)
        }


def _holds_array(file: Any, name: str) -> bool:
    """Tell whether a file has an array of that name, and not the None of no value."""
    with file.zip.open(f"{name}.npy") as member:
        if np.lib.format.read_magic(member) != (1, 0):
            return True  # None needs no newer format
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        return not (dtype.hasobject and shape == ())
