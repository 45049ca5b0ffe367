"""The base of all calculators: what is explained, how it is sampled, aggregation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Callable

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.engine.dataset import (
    Batches,
    Converter,
    UserBatch,
    lengths_if_ragged,
)
from saliency.calculator.engine.explained_output import ClassIndex, check_class_index
from saliency.calculator.engine.forward_pass import ForwardPass
from saliency.calculator.engine.job import running_job
from saliency.calculator.engine.padding import concatenate_padded
from saliency.calculator.engine.rows import Layout, folded, whole_batch
from saliency.calculator.engine.runner import ForwardRunner
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.randomness.posteriors import Posterior
from saliency.calculator.results.aggregate_work import AggregateWork
from saliency.calculator.results.aggregation import (
    Aggregation,
    RunningStatistics,
    mean_dtype,
)
from saliency.chainer_compat import gpu_problem
from saliency.checks import check_callable, is_int

import chainer
from chainer.dataset import concat_examples


class BaseCalculator(ABC):
    """What a calculator explains, and how it samples.

    Sampling, batches, hooks, random numbers and cleaning up are here. A subclass
    says what to do in one forward pass: how the target is changed
    (:meth:`change_target`) and what each row then adds to the saliency
    (:meth:`contribution`). What the steps of one sample contribute is added up.

    Args:
        model (callable): The trained model, usually a :class:`chainer.Link`. It is
            not changed.
        target_extractor (VariableMonitorLinkHook or None): Where saliency is read.
            ``None`` is the first input. Axis 0 of the target is the batch axis. Where
            its link is called several times and it asks for no ``call``, the
            saliency of all its calls, each explained by itself, is added up.
        output_extractor (VariableMonitorLinkHook or None): Explains the output of a
            link in the middle instead of what the model returns.
        eval_fun (callable or None): ``eval_fun(*inputs)`` returns the output that is
            explained, a Variable: one or several values for each example, or one
            value for the batch (a loss). ``None`` calls the model.
        class_index (int, 'argmax', sequence of int or None): Which column of the
            output is explained. ``'argmax'`` is the class predicted for each example
            without noise and dropout; a sequence holds one class for each example of
            the data. ``None`` sums the columns, with a warning if there are several.
        device (int, str, chainer.backend.Device or None): Where the model is;
            ``-1`` or ``'@numpy'`` is the CPU. ``None`` asks the model.

    Raises:
        TypeError: If ``model``, ``eval_fun`` or an extractor is not what it must be.
        ValueError: If ``class_index`` or ``device`` is none of these.

    Attributes:
        inputs (tuple of numpy.ndarray or None): What the model was called with in the
            last ``compute(..., retain_inputs=True)``, before noise.
        lengths (numpy.ndarray or None): After ``compute`` on examples of different
            lengths, the true length of each.
    """

    #: Whether passes keep their graph, so that gradients can be taken.
    needs_gradient = True

    #: Attributes that a run leaves behind; they are no settings.
    run_state: tuple[str, ...] = ("inputs", "lengths")

    def __init__(
        self,
        model: Callable[..., Any],
        target_extractor: VariableMonitorLinkHook | None = None,
        output_extractor: VariableMonitorLinkHook | None = None,
        eval_fun: Callable[..., Any] | None = None,
        class_index: ClassIndex = None,
        device: Any = None,
    ) -> None:
        if eval_fun is not None:
            check_callable("eval_fun", eval_fun)
        else:
            check_callable("model", model)
        _check_extractor("target_extractor", target_extractor)
        _check_extractor("output_extractor", output_extractor)
        self.check_class_index(class_index)
        self.model = model
        self.target_extractor = target_extractor
        self.output_extractor = output_extractor
        self.eval_fun = eval_fun or model
        self.class_index = class_index
        self.device = _find_device(device, model)
        self.inputs: tuple[Any, ...] | None = None
        self.lengths: np.ndarray | None = None

    def compute(
        self,
        data: Any,
        M: int = 1,
        batchsize: int = 16,
        converter: Converter = concat_examples,
        retain_inputs: bool = False,
        preprocess_fn: Callable[..., Any] | None = None,
        postprocess_fn: Callable[..., Any] | None = None,
        train: bool = False,
        noise_sampler: Any = None,
        show_progress: bool = True,
        seed: int | None = None,
        posterior: Posterior | None = None,
    ) -> np.ndarray:
        """Compute M saliency samples for each example.

        Args:
            data: The examples: an array ``(N, ...)``, a list of examples, a Chainer
                dataset, or a tuple of arrays of N rows for models of several inputs.
            M (int): Number of samples. More than one makes sense with ``train`` or
                ``noise_sampler``.
            batchsize (int): Largest number of rows in one forward pass. Samples and
                steps of a few examples are run together up to that number. It does
                not change the result, unless the output is one value for the whole
                batch: then each pass is ``batchsize`` consecutive examples, and a
                mean over the batch is a mean over those.
            converter (callable): ``converter(examples, device)`` makes a batch.
            retain_inputs (bool): Whether to keep the inputs as :attr:`inputs`.
            preprocess_fn (callable or None): Called with a batch's inputs (arrays);
                returns the inputs of the model.
            postprocess_fn (callable or None): Called with one sample's saliency of
                one batch, ``(batch,) + target shape`` (NumPy); returns what is kept.
            train (bool): Whether each sample draws parameters from the dropout
                posterior (BayesGrad). Batch normalization stays in evaluation mode.
            noise_sampler: Adds noise to the target for each sample (SmoothGrad): has
                ``sample(array, rng)``, see
                :class:`~saliency.calculator.common.GaussianNoiseSampler`, or
                ``sample(array)``, which may use the global random state.
            show_progress (bool): Whether to show a progress bar.
            seed (int or None): One seed gives one result, whatever ``batchsize`` and
                the device are. ``None`` gives another result in each call. The global
                random state is not changed.
            posterior (Posterior or None): What each sample's parameters are drawn from
                (BayesGrad): an
                :class:`~saliency.calculator.randomness.posteriors.EnsemblePosterior`, a
                :class:`~saliency.calculator.randomness.posteriors.SWAGPosterior`, or one of your
                own. ``'argmax'`` and mean baselines are those of the trained model.

        Returns:
            numpy.ndarray: ``(M, N) + target shape``, of the target's dtype. Where
            examples have different lengths, it is NaN beyond the end of each, and
            :attr:`lengths` holds the lengths.

        Raises:
            TypeError: If the data, the target or the output is of a wrong kind; for
                example an integer target, which has no gradient.
            ValueError: If a value is out of range, the data empty or not finite, the
                target without influence on the output, an extractor's link never
                called, or the result not finite.
        """
        settings = ComputeSettings(
            M,
            batchsize,
            converter,
            preprocess_fn,
            postprocess_fn,
            train,
            noise_sampler,
            seed,
            posterior,
        )
        batches = self._batches(data, settings)
        blocks, inputs, lengths = [], [], []
        with running_job(
            self, settings, batches, batches.n_example, show_progress
        ) as job:
            job.prepare()
            for batch in batches:
                blocks.append(np.concatenate(list(job.explain(batch))))
                lengths.append(batch.lengths)
                if retain_inputs:
                    inputs.append(chainer.get_device("@numpy").send(batch.inputs))
        self.inputs = (
            tuple(concatenate_padded(arrays, axis=0, fill=0) for arrays in zip(*inputs))
            if retain_inputs
            else None
        )
        self.lengths = lengths_if_ragged(lengths)
        return concatenate_padded(blocks, axis=1, fill=np.nan)

    def compute_aggregate(
        self,
        data: Any,
        M: int = 1,
        method: str = "raw",
        ch_axis: int | tuple[int, ...] | None = None,
        *,
        statistic: str = "mean",
        out: Any = None,
        workers: Any = None,
        batchsize: int = 16,
        converter: Converter = concat_examples,
        preprocess_fn: Callable[..., Any] | None = None,
        postprocess_fn: Callable[..., Any] | None = None,
        train: bool = False,
        noise_sampler: Any = None,
        show_progress: bool = True,
        seed: int | None = None,
        posterior: Posterior | None = None,
    ) -> Any:
        """Compute M samples for each example and keep their mean or spread alone.

        The result is that of ``aggregate(compute(data, M, ...), method, ch_axis,
        statistic)``, but for rounding, in memory that grows neither with M nor, with
        ``out``, with the number of examples.

        With a path as ``out`` each batch is written when it is complete. The same
        call again goes on after the last one, however the first call ended, and what
        it gives is the same, byte by byte; where everything is done it returns at
        once. What has been done is recorded in the Zarr array's attributes, or beside
        ``x.npy`` in ``x.npy.progress.json``.

        Args:
            data: As for :meth:`compute`.
            M (int): Number of samples.
            method (str): As for :meth:`aggregate`.
            ch_axis (int, tuple of int or None): As for :meth:`aggregate`: axes of
                ``(M, N) + target shape``, from 2 on.
            statistic (str): As for :meth:`aggregate`.
            out (path, array or None): Where the result goes: ``'x.npy'``, a file that
                is mapped into memory; ``'x.zarr'``, a Zarr store with a chunk for
                each batch; an array of NumPy or Zarr of the result's shape and dtype.
                Examples of different lengths get the room of the longest, which is
                looked up if ``data`` is a list.
            workers (int, dask.distributed.Client or None): Computes on this many
                processes of this machine, or on those of a running Dask cluster;
                ``out`` must then be ``'x.zarr'``, on a file system that all share.
                The result does not depend on their number, and a worker that dies
                costs what it was at. In a script, call it under
                ``if __name__ == "__main__":``, since the processes import that.
            batchsize (int): As for :meth:`compute`.
            converter (callable): As for :meth:`compute`.
            preprocess_fn (callable or None): As for :meth:`compute`.
            postprocess_fn (callable or None): As for :meth:`compute`; with ``out`` it
                must leave one row for each example.
            train (bool): As for :meth:`compute`.
            noise_sampler: As for :meth:`compute`.
            show_progress (bool): As for :meth:`compute`.
            seed (int or None): As for :meth:`compute`. With a path as ``out``,
                ``None`` draws one, which is recorded and used when the work goes on.
            posterior (Posterior or None): As for :meth:`compute`.

        Returns:
            ``out``, opened if it was a path (numpy.memmap or zarr.Array), or a
            numpy.ndarray: ``(N,) + target shape`` without ``ch_axis``, in the dtype
            of the samples (float64 for integers).

        Raises:
            ImportError: If Zarr or Dask is needed and not installed.
            MemoryError: If a single row does not fit into memory. Before that, passes
                are halved, with one warning.
            TypeError, ValueError: As :meth:`compute` and :meth:`aggregate`; if ``out``
                does not fit, or was begun by a call that differs from this one.
        """
        settings = ComputeSettings(
            M,
            batchsize,
            converter,
            preprocess_fn,
            postprocess_fn,
            train,
            noise_sampler,
            seed,
            posterior,
        )
        aggregation = Aggregation(method, ch_axis, statistic, M)
        batches = self._batches(data, settings)
        work = AggregateWork(self, settings, aggregation, batches)
        self.inputs = None
        if workers is not None:
            return work.on_cluster(out, workers, show_progress)
        if out is not None:
            return work.into(out, show_progress)
        return work.in_memory(show_progress)

    def aggregate(
        self,
        saliency_samples: np.ndarray,
        method: str = "raw",
        ch_axis: int | tuple[int, ...] | None = None,
        statistic: str = "mean",
    ) -> np.ndarray:
        """Reduce M samples to one saliency: transform, sum over channels, mean over M.

        Or another statistic than the mean, which tells how sure that is. The spread
        is that of the samples, so with BayesGrad that of the posterior: it does not
        become smaller with M, as the error of their mean does, ``std / sqrt(M)``.

        Args:
            saliency_samples (numpy.ndarray): What :meth:`compute` returned,
                ``(M, N) + target shape``.
            method (str): ``'raw'`` leaves the samples as they are, ``'abs'`` takes
                absolute values, ``'square'`` squares.
            ch_axis (int, tuple of int or None): Axes of ``saliency_samples`` to sum
                over; 2 for images of ``(M, N, ch, h, w)``, 3 for the atoms of
                ``(M, N, atom, ch)``.
            statistic (str): Of the M sums: ``'mean'``; ``'std'``, the standard
                deviation; ``'lcb'`` and ``'ucb'``, the lower and the upper confidence
                bound, mean - 1.96 std and mean + 1.96 std, which hold 95 % of a normal
                distribution; ``'snr'``, mean / std, which is infinite where there is
                no spread. All but the mean need M >= 2.

        Returns:
            numpy.ndarray: ``(N,) + target shape`` without ``ch_axis``, in the dtype
            of the samples (float64 for integers); computed in float64.

        Raises:
            ValueError: If ``method``, ``ch_axis`` or ``statistic`` is none of these,
                or there are no samples, or one alone that is to have a spread.
        """
        samples = np.asarray(saliency_samples)
        _check_samples(samples)
        aggregation = Aggregation(method, ch_axis, statistic, len(samples))
        statistics = RunningStatistics(statistic)
        for m in range(len(samples)):
            statistics.add(aggregation.reduce(samples[m : m + 1]))
        return statistics.result().astype(mean_dtype(samples))

    def _batches(self, data: Any, settings: ComputeSettings) -> Batches:
        _check_initialized(self.model)
        return Batches(
            data,
            settings.batchsize,
            settings.converter,
            settings.preprocess_fn,
            self.device,
        )

    # What a calculator is made of; the rest of the class is the same for all.

    @abstractmethod
    def contribution(self, this: ForwardPass, classes: np.ndarray | None) -> Any:
        """Return what each row of a pass adds to the saliency.

        Args:
            this (ForwardPass): The pass.
            classes (numpy.ndarray or None): Class of each row; None sums all.

        Returns:
            array: ``(n_row,) + shape`` on the model's device.
        """

    def change_target(self, origin: Any, this: ForwardPass) -> Any:
        """Return what takes the target's place in a pass; here, the target itself.

        Args:
            origin (array): The target's value, with noise if any. Not to be changed.
            this (ForwardPass): The pass, with its rows.
        """
        return origin

    def changes_target(self) -> bool:
        """Tell whether passes run with anything else than the target itself."""
        return type(self).change_target is not BaseCalculator.change_target

    def shares_start(self) -> bool:
        """Tell whether rows of an example may share a pass up to the first dropout.

        They may if they differ by dropout alone, and :meth:`contribution` reads of a
        pass's graph nothing but ``this.gradients``; what ``this.targets`` and
        ``this.origins`` hold it must take by ``this.by_row``.
        """
        return False

    def number_of_steps(self, batch: UserBatch, runner: ForwardRunner) -> int:
        """Return how many passes a sample of this batch needs.

        Each row of a pass says which step it is, in ``this.rows.step``.
        """
        return 1

    def predicted_classes(self, this: ForwardPass) -> np.ndarray | None:
        """Return the class that ``class_index='argmax'`` means for each row."""
        return this.predicted_classes()

    def watch_forward(self) -> AbstractContextManager[Any]:
        """Return a block that is active around the forward of each pass; here, none."""
        return nullcontext()

    def layout(self) -> Layout:
        """Return how passes are laid out if the model treats rows independently."""
        return folded

    def layout_for_one_value(self) -> Layout:
        """Return how passes are laid out if the output is one value for the batch."""
        return whole_batch

    def prepare(  # noqa: B027 (most have nothing to prepare)
        self, batches: Batches, runner: ForwardRunner
    ) -> None:
        """Look at the whole data before the first batch is explained."""

    def check_class_index(self, class_index: Any) -> None:
        """Raise a ValueError if the calculator can not explain ``class_index``."""
        check_class_index(class_index)


def _check_extractor(name: str, extractor: Any) -> None:
    if not (extractor is None or isinstance(extractor, VariableMonitorLinkHook)):
        raise TypeError(
            f"{name} must be a VariableMonitorLinkHook or None, got {extractor!r}"
        )


def _check_initialized(model: Any) -> None:
    """Raise for a model that would draw its first parameters while explained."""
    if not isinstance(model, chainer.Link):
        return
    for path, parameter in model.namedparams():
        if not parameter.is_initialized:
            raise ValueError(
                f"model must be trained, but its parameter {path} is not initialized"
            )


def _check_samples(samples: np.ndarray) -> None:
    if samples.ndim < 2 or samples.size == 0:
        raise ValueError(
            "saliency_samples must be what compute returned, (M, N) + target shape, "
            f"got shape {samples.shape}"
        )


def _find_device(device: Any, model: Any) -> Any:
    of_model = model.device if isinstance(model, chainer.Link) else None
    if device is None:
        return of_model or chainer.get_device("@numpy")
    try:
        found = chainer.get_device(device)
        with chainer.using_device(found):
            pass
    except Exception as error:  # CuPy has errors of its own for what is not there
        is_gpu = is_int(device) or str(device).startswith("@cupy:")
        reason = (gpu_problem() if is_gpu else None) or " ".join(str(error).split())
        raise ValueError(
            f"device={device!r} can not be used: {reason}. For the CPU pass None, -1 "
            "or '@numpy'"
        ) from error
    if of_model is not None and found != of_model:
        raise ValueError(
            f"device={device!r}, but the model is on {of_model}; move it there with "
            "model.to_device(device), or pass device=None"
        )
    return found
