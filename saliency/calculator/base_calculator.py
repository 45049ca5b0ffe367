"""The face of all calculators: settings in, arrays out."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Callable, ClassVar

import numpy as np

from link_hooks import VariableMonitorLinkHook
from saliency.calculator.ancestor import AncestorProtocol
from saliency.calculator.common import GaussianNoiseSampler
from saliency.calculator.engine.data_frames import names_in
from saliency.calculator.engine.dataset import (
    Batches,
    Converter,
)
from saliency.calculator.engine.explained_output import ClassIndex
from saliency.calculator.engine.job import running_job
from saliency.calculator.engine.padding import join_padded, join_targets
from saliency.calculator.engine.pass_size import EXAMPLES_OF_BATCH
from saliency.calculator.engine.preparation import (
    check_prepared,
    check_tables_of_settings,
)
from saliency.calculator.engine.recipe import Recipe
from saliency.calculator.engine.run import Lengths, Run
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.subject import Subject, Target, Targets, gives_tuple
from saliency.calculator.randomness.posteriors import Posterior
from saliency.calculator.results.aggregate_work import AggregateWork
from saliency.calculator.results.aggregation import (
    Aggregation,
    ChannelAxis,
    RunningStatistics,
    mean_dtype,
)
from saliency.calculator.results.explain_work import (
    ExplainedAggregation,
    ExplainWork,
    Known,
)
from saliency.calculator.results.room import check_room
from saliency.calculator.results.stores import check_apart
from saliency.checks import for_each_target, narrowed, plain_array
from saliency.configured import (
    Configured,
    names_typos,
    positional,
    takes_settings_of,
    with_defaults,
)
from saliency.explanation import Explanation
from saliency.explanation.groups import Groups

import chainer
from chainer.dataset import concat_examples


class _Own:
    """Stands for what the calculator itself says of an argument of ``compute``."""

    def __repr__(self) -> str:
        return "<the calculator's own>"


#: Samples, or what they are reduced to: an array, or for several targets a tuple of
#: arrays. The settings decide which, so that type checkers cannot tell.
Samples = Any

#: For ``noise_sampler``, the calculator's; for ``train``, unless a posterior is given.
OWN: Any = _Own()


class _LastRuns(threading.local):
    """What the last call of each calculator in this thread left behind."""

    def __init__(self) -> None:
        self.of: weakref.WeakKeyDictionary[BaseCalculator, Run]
        self.of = weakref.WeakKeyDictionary()


_last_runs = _LastRuns()


class BaseCalculator(AncestorProtocol, Configured, Recipe):
    """What a calculator explains, and how it samples.

    A method says how it explains by overriding what
    :class:`~saliency.calculator.engine.recipe.Recipe` lists, at most seven names, and
    declares its settings as annotated attributes. Sampling, batches, hooks, random
    numbers and cleaning up are in the engine. Methods that were written for Chainer
    Chemistry override ``_compute_core`` instead, see
    :class:`~saliency.calculator.ancestor.AncestorProtocol`.

    A calculator holds its settings and nothing else. They may be changed between
    calls: ``calculator.class_index = 3``. Several threads may use one calculator, or
    one model.

    Args:
        model (callable): The trained model, usually a :class:`chainer.Link`. It is
            not changed, and must not write into its inputs.
        target_extractor (VariableMonitorLinkHook, list of them or None): Where saliency
            is read. ``None`` is the first input. Axis 0 of the target is the batch
            axis. Where its link is called several times and it asks for no ``call``,
            the saliency of all its calls, each explained by itself, is added up.
            A list is that of ``targets``.
        output_extractor (VariableMonitorLinkHook or None): Explains the output of a
            link in the middle instead of what the model returns.
        eval_fun (callable or None): ``eval_fun(*inputs)`` returns the output that is
            explained, a Variable: one or several values for each example, or one
            value for the batch (a loss). ``None`` calls the model. (A
            :class:`chainer.links.Classifier` returns a loss, and its ``predictor``
            scores.)
        class_index: What of the output is explained:

            - an int: this column, for all examples;
            - a list or array of int: one column for each example of the data;
            - ``'argmax'``: the column predicted for each example without noise and
              dropout;
            - a tuple of ints and slices: an index into the axes behind the batch axis,
              for outputs of any rank. ``(c, t)`` is one element of ``(N, C, T)``, and
              ``(c, slice(2, 5), slice(2, 5))`` the sum over a part of a map of class c;
            - ``'sum'``: the sum of all;
            - None: ``'argmax'`` in LRP, and elsewhere the sum, with a warning if there
              are several columns.
        device (int, str, chainer.backend.Device or None): Where the model is;
            ``-1`` or ``'@numpy'`` is the CPU. ``None`` asks the model, or the links
            that a callable holds.
        targets (str, sequence or None): Several targets at once, which noise and paths
            change together: ``'all'``, the inputs of floating-point numbers; or
            positions of inputs and VariableMonitorLinkHooks, as ``(0, 2)`` or
            ``(0, VariableMonitorLinkHook(model.embed))``. Results are then tuples with
            an array for each, in this order.

    Raises:
        TypeError: If ``model``, ``eval_fun`` or an extractor is not what it must be, or
            there is no such argument.
        ValueError: If ``class_index`` or ``device`` is none of these.
    """

    model: Callable[..., Any] = positional()
    target_extractor: VariableMonitorLinkHook | Sequence[Target] | None = positional(
        default=None
    )
    output_extractor: VariableMonitorLinkHook | None = positional(default=None)
    eval_fun: Callable[..., Any] | None = positional(default=None)
    class_index: ClassIndex = None
    device: Any = None
    targets: Targets = None

    #: Arguments of ``compute``, ``compute_aggregate`` and ``explain`` that have another
    #: default.
    call_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call_defaults" in vars(cls):
            for name in ("compute", "compute_aggregate", "explain"):
                method = with_defaults(getattr(cls, name), **cls.call_defaults)
                setattr(cls, name, method)

    @property
    def inputs(self) -> tuple[Any, ...] | None:
        """The arrays, or lists of them, that the model was called with, before noise.

        In the last ``compute(..., retain_inputs=True)`` of this thread.
        """
        return self._last_run.inputs

    @property
    def lengths(self) -> Lengths:
        """The true length of each example, if they differ.

        In the last call of this thread. With several targets, a tuple: the lengths of
        each one's axis 1, or None.
        """
        return self._last_run.lengths

    @property
    def feature_names(self) -> list[str] | None:
        """What the columns of the table that was explained are called.

        In the last call of this thread, for pictures of what it returned:
        ``TableVisualizer().visualize(saliency, calculator.feature_names)``. None where
        the data was no table, saliency was read at a link, or at several targets.
        """
        return self._last_run.feature_names

    @property
    def _last_run(self) -> Run:
        return _last_runs.of.get(self) or Run()

    def check(self) -> None:
        """Raise a TypeError or ValueError if a setting is not allowed."""
        self._subject()

    @names_typos
    def compute(
        self,
        data: Any,
        M: int = 1,
        batchsize: int | None = None,
        converter: Converter = concat_examples,
        retain_inputs: bool = False,
        preprocess_fn: Callable[..., Any] | None = None,
        postprocess_fn: Callable[..., Any] | None = None,
        train: bool = False,
        noise_sampler: Any = None,
        show_progress: bool = True,
        seed: int | None = None,
        posterior: Posterior | None = None,
    ) -> Samples:
        """Compute M saliency samples for each example.

        Args:
            data: The examples: an array ``(N, ...)``, also one that is not in memory
                (of h5py or Zarr, or a ``numpy.memmap``) or sparse (of SciPy), a list of
                examples, a Chainer dataset, a table with numeric columns (a DataFrame
                of pandas or polars, a Table of pyarrow), or a tuple of arrays or tables
                of N rows for models of several inputs. If the model has
                ``column_names``, the columns of a table must be those, in this order.
                Floating-point inputs are cast to the dtype of the model's
                floating-point parameters, if they all have one: without a warning,
                since float64 is NumPy's default and not a choice. The saliency is then
                of that dtype.
            M (int): Number of samples. More than one makes sense with ``train``,
                ``noise_sampler`` or ``posterior``; where all are equal, a warning says
                why.
            batchsize (int or None): Largest number of rows in one forward pass. Samples
                and steps of a few examples are run together up to that number. None
                chooses it: a first pass of at most 64 rows, or a trial of two, shows
                how many are fast and fit into 2 GiB on their way through the model
                (512 MiB on a CPU, if the method holds all of it); at most 32768. It
                does not change the result, unless the output is one value for the
                whole batch: then each pass is ``batchsize`` consecutive examples, 16
                with None, and a mean over the batch is a mean over those.
            converter (callable): ``converter(examples, device)`` makes a batch. By
                default examples are stacked; where saliency is read at a link, those
                of a list that have different lengths stay a list, which is what
                :func:`saliency.list_examples` makes of them.
            retain_inputs (bool): Whether to keep the inputs as :attr:`inputs`.
            preprocess_fn (callable or None): Called with a batch's inputs (arrays), or
                with the dict of them, if examples are dicts; returns the inputs of the
                model.
            postprocess_fn (callable or None): Called with one sample's saliency of
                one batch, ``(batch,) + target shape`` (NumPy); returns what is kept, an
                array or a Variable. With several targets, both are tuples.
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
                (BayesGrad): a :class:`saliency.EnsemblePosterior`, a
                :class:`saliency.SWAGPosterior`, or one of your own. ``'argmax'`` and
                mean baselines are those of the trained model.

        Returns:
            numpy.ndarray: ``(M, N) + target shape``, of the target's dtype. Where
            examples have different lengths, it is NaN beyond the end of each, and
            :attr:`lengths` holds the lengths. With ``targets``, a tuple of these.

        Raises:
            TypeError: If the data, the target or the output is of a wrong kind (for
                example an integer target, which has no gradient), or there are more
                or fewer inputs than the model takes.
            MemoryError: If the samples would not fit into memory.
            ValueError: If a value is out of range, the data empty or not finite or of
                a shape that the model does not take, the model not trained, the
                target without influence on the output (of several targets, all of
                them: for one alone, its saliency is 0, which a warning says), an
                extractor's link never called, or the result not finite.
        """
        settings = self._sampling(
            M=M,
            batchsize=batchsize,
            converter=converter,
            preprocess_fn=preprocess_fn,
            postprocess_fn=postprocess_fn,
            train=train,
            noise_sampler=noise_sampler,
            seed=seed,
            posterior=posterior,
        )
        blocks: list[list[np.ndarray]] = []
        inputs, lengths = [], []
        subject = self._subject()
        batches = self._batches(data, settings, subject)
        n_example = batches.n_example
        with running_job(
            self, subject, settings, batches, n_example, show_progress=show_progress
        ) as job:
            for batch in job.batches(0, n_example):
                samples: list[list[np.ndarray]] = []
                for some in job.explain(batch):
                    if not blocks and not samples:
                        for found in some:
                            check_room((M, n_example, *found.shape[2:]), found.dtype)
                    samples.append(some)
                blocks.append(join_targets(samples, 0, np.nan))
                lengths.append(batch.lengths)
                if retain_inputs:
                    inputs.append([_on_cpu(x) for x in batch.inputs])
            job.run.lengths = job.lengths_of_examples(lengths)
        if retain_inputs:
            job.run.inputs = tuple(_of_all_batches(parts) for parts in zip(*inputs))
        self._keep(job.run, self._names_in(data, subject)[0])
        result = join_targets(blocks, 1, np.nan)
        return tuple(result) if job.gives_tuple else result[0]

    @takes_settings_of(compute, but=("retain_inputs",))
    def compute_aggregate(
        self,
        data: Any,
        M: int = 1,
        method: str = "raw",
        ch_axis: ChannelAxis = None,
        *,
        statistic: str = "mean",
        out: Any = None,
        repair: bool = False,
        workers: Any = None,
        show_progress: bool = True,
        **settings: Any,
    ) -> Any:
        """Compute M samples for each example and keep their mean or spread alone.

        The result is that of ``aggregate(compute(data, M, ...), method, ch_axis,
        statistic)``, but for rounding, in memory that grows neither with M nor, with
        ``out``, with the number of examples.

        With a path as ``out`` each batch is written when it is complete. The same
        call again resumes after the last complete batch, however the first call ended,
        and gives the same bytes. It has to be the same call: data, settings and
        parameters are compared, and at most three finished batches are computed again
        and compared with what is there, which shows any change of code that changes a
        result. Every batch has a digest, so that damaged files are noticed. While one
        process writes, others cannot. What has been done is recorded in
        ``x.npy.progress.json`` beside ``x.npy``, in ``x.zarr/saliency.json``, or in the
        attributes of a Zarr array; ``docs/stores.md`` describes it.

        Args:
            method (str): ``'raw'`` leaves the samples as they are, ``'abs'`` takes
                absolute values, ``'square'`` squares.
            ch_axis (int, tuple or None): Axes of the samples, ``(M, N) + target
                shape``, to sum over; from 2 on. As in :meth:`aggregate`.
            statistic (str): Of the M sums: ``'mean'``, ``'std'``, ``'lcb'``, ``'ucb'``
                or ``'snr'``, as in :meth:`aggregate`.
            out (path, array or None): Where the result goes: ``'x.npy'``, a file that
                is mapped into memory; ``'x.zarr'``, a Zarr store with a chunk for
                each batch; an array of NumPy or Zarr of the result's shape and dtype,
                which has no memory in common with what is read, unless it is ``data``.
                Examples of different lengths get the room of the longest, which is
                looked up if ``data`` is a list.
            repair (bool): Whether batches of ``out`` that have been damaged are
                computed again; without it, damage is an error.
            workers (int, dask.distributed.Client or None): Computes on this many
                processes of this machine, or on those of a running Dask cluster;
                ``out`` must then be ``'x.zarr'``, on a file system that all share.
                The result does not depend on their number, and what a worker was
                computing when it died is computed by another. In a script, call it
                under ``if __name__ == "__main__":``, since the processes import that.

        Returns:
            ``out``, opened if it was a path (numpy.memmap or zarr.Array), or a
            numpy.ndarray: ``(N,) + target shape`` without ``ch_axis``, in the dtype
            of the samples (float64 for integers). With ``targets``, a tuple of these.

        Raises:
            BlockingIOError: If another process or thread is writing into ``out``.
            ImportError: If Zarr or Dask is needed and not installed.
            MemoryError: If a single row does not fit into memory. Before that, passes
                are halved, with one warning.
            OSError: If the disk has no space for ``out``.
            TypeError, ValueError: As :meth:`compute` and :meth:`aggregate`; if ``out``
                does not fit, is damaged, or was begun by a call that differs from this
                one; or if there are several targets, for which it has no room.
        """
        if repair and (out is None or isinstance(out, np.ndarray)):
            raise ValueError(
                "repair=True needs out, a path or an array of Zarr, of which is known "
                f"what was written; got {type(out).__name__}"
            )
        sampling = self._sampling(M=M, **settings)
        subject = self._subject()
        aggregation = Aggregation(method, ch_axis, statistic, M, subject.gives_tuple)
        if out is not None and subject.gives_tuple:
            raise ValueError(
                f"out must be None for several targets, got {out!r}: it holds one "
                "array. Make a call for each target, or leave it out"
            )
        check_apart(out, data, vars(self))
        batches = self._batches(data, sampling, subject)
        work = AggregateWork(self, subject, sampling, aggregation, batches)
        if workers is not None:
            from saliency.calculator.results import cluster

            result = cluster.into_store(work, out, workers, show_progress, repair)
        elif out is not None:
            result = work.into(out, show_progress, repair)
        else:
            result = work.in_memory(show_progress)
        self._keep(work.run, self._names_in(data, subject)[0])
        return result

    @takes_settings_of(compute, but=("retain_inputs", "postprocess_fn"))
    def explain(
        self,
        data: Any,
        M: int = 1,
        method: str = "raw",
        ch_axis: ChannelAxis = None,
        *,
        feature_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        element_names: Sequence[Sequence[str]] | None = None,
        molecules: Sequence[Any] | None = None,
        images: Sequence[Any] | None = None,
        groups: Groups | None = None,
        show_progress: bool = True,
        **settings: Any,
    ) -> Explanation:
        """Explain each example, and return all that is needed to read the answer.

        The values are those of ``aggregate(compute(data, M, ...), method, ch_axis)``,
        and their errors those with ``statistic="std"``, in one run and in memory that
        does not grow with M. What was explained and its score come with them; to find
        these, the model runs once more on each example.

        Args:
            method (str): As in :meth:`aggregate`.
            ch_axis (int, tuple or None): As in :meth:`aggregate`; from 3 on with
                ``class_index='all'``, since axis 2 is that of the classes.
            feature_names (sequence of str or None): One for each column of the values
                ``(N, n_feature)``. By default, the names of the columns of a table
                that is explained.
            class_names (sequence of str or None): One for each class of the output.
            element_names (sequence of sequence of str or None): For each example the
                names of its elements, such as the tokens of a text, which lie along
                the first axis of its values.
            molecules (sequence or None): The molecule of each example, to whose atoms
                its values belong: SMILES, or molecules of RDKit.
            images (sequence or None): The photograph of each example, over which its
                map is drawn: images of PIL, or arrays of uint8 or of floats in [0, 1].
            groups (dict or None): Names of features that are explained as one, by the
                name of the group, as in :meth:`saliency.Explanation.grouped`: the
                columns of a categorical feature. They are summed in each sample, so
                that the errors are those of the sums.

        Returns:
            Explanation: The values, ``(N,) + target shape`` without ``ch_axis``, their
            standard deviation where M > 1, the data, the names, the classes and scores
            that were explained, and the settings. Integrated Gradients with
            ``method='raw'`` have base values, f(baseline); these and the scores are
            means over the samples, so that values add up to what is between them.
            With ``class_index='all'``, which Occlusion takes, there is an axis of
            classes, ``(N, n_class) + target shape``.

        Raises:
            ImportError: If there are ``molecules`` without ``element_names``, and RDKit
                is not installed.
            TypeError, ValueError: As :meth:`compute` and :meth:`aggregate`; if names or
                groups do not fit, there is not one molecule, image or list of names for
                each example, or there are several targets.
        """
        known = Known.of(
            feature_names, class_names, element_names, molecules, images, groups
        )
        sampling = self._sampling(M=M, postprocess_fn=None, **settings)
        subject = self._subject()
        subject.refuse_several_targets("explain")
        columns, index = self._names_in(data, subject)
        aggregation = ExplainedAggregation(
            method,
            ch_axis,
            sampling.M,
            subject.explains_all_classes,
            groups,
            known.feature_names or columns,
        )
        batches = self._batches(data, sampling, subject)
        work = ExplainWork(self, subject, sampling, aggregation, batches)
        result = work.explain(known, columns, index, show_progress)
        self._keep(work.run, columns)
        return result

    def aggregate(
        self,
        saliency_arrays: Samples,
        method: str = "raw",
        ch_axis: ChannelAxis = None,
        statistic: str = "mean",
    ) -> Samples:
        """Reduce M samples to one saliency: transform, sum over channels, mean over M.

        Or another statistic than the mean, which tells how sure that is. The spread
        is that of the samples, so with BayesGrad that of the posterior: it does not
        become smaller with M, as the error of their mean does, ``std / sqrt(M)``.

        Args:
            saliency_arrays (numpy.ndarray or tuple): What :meth:`compute` returned,
                ``(M, N) + target shape``, or a tuple of these.
            method (str): ``'raw'`` leaves the samples as they are, ``'abs'`` takes
                absolute values, ``'square'`` squares.
            ch_axis (int, tuple of int or None): Axes of ``saliency_arrays`` to sum
                over; 2 for images of ``(M, N, ch, h, w)``, 3 for the atoms of
                ``(M, N, atom, ch)``. With several targets, it is that of all, or there
                is one for each if some are tuples or None: ``(None, (2,))``.
            statistic (str): Of the M sums: ``'mean'``; ``'std'``, the standard
                deviation; ``'lcb'`` and ``'ucb'``, the lower and the upper confidence
                bound, mean - 1.96 std and mean + 1.96 std, which hold 95 % of a normal
                distribution; ``'snr'``, mean / std, which is infinite where there is
                no spread. All but the mean need M >= 2.

        Returns:
            numpy.ndarray: ``(N,) + target shape`` without ``ch_axis``, in the dtype
            of the samples (float64 for integers); computed in float64. A tuple of these
            if the samples are one.

        Raises:
            ValueError: If ``method``, ``ch_axis`` or ``statistic`` is none of these,
                or there are no samples, or one alone that is to have a spread; or if a
                result is too large for the dtype, as sums of float16 may be.
        """
        of_targets = self._of_targets(saliency_arrays)
        if of_targets is not None:
            axes = for_each_target("ch_axis", ch_axis, len(of_targets))
            pairs = zip(of_targets, axes)
            return tuple(self._aggregate(s, method, a, statistic) for s, a in pairs)
        return self._aggregate(saliency_arrays, method, ch_axis, statistic)

    @property
    def _gives_tuple(self) -> bool:
        """Whether there is a result for each of several targets."""
        return gives_tuple(self.target_extractor, self.targets)

    def _of_targets(self, samples: Samples) -> tuple[np.ndarray, ...] | None:
        """Return the samples of each of several targets; None if they are of one."""
        may_be_list = isinstance(samples, list) and self._gives_tuple
        return tuple(samples) if may_be_list or isinstance(samples, tuple) else None

    @staticmethod
    def _aggregate(
        saliency_array: Any, method: str, ch_axis: Any, statistic: str
    ) -> np.ndarray:
        samples = np.asarray(plain_array("saliency_arrays", saliency_array))
        _check_samples(samples)
        aggregation = Aggregation(method, ch_axis, statistic, len(samples))
        statistics = RunningStatistics(statistic)
        for m in range(len(samples)):
            statistics.add(aggregation.reduce(samples[m : m + 1]))
        what = f"an aggregated saliency ({statistic})"
        return narrowed(statistics.result(), mean_dtype(samples), what)

    def _subject(self) -> Subject:
        """Return what is explained, as the settings are now."""
        subject = Subject.of(
            self.model,
            self.target_extractor,
            self.output_extractor,
            self.eval_fun,
            self.class_index,
            self.device,
            targets=self.targets,
            none_means=self.none_means,
            allows_all=self.explains_all_classes,
        )
        return self._with_overrides(subject)

    def _sampling(self, **settings: Any) -> ComputeSettings:
        """Return how samples are computed, with what the calculator says of it."""
        if settings["train"] is OWN:
            settings["train"] = settings["posterior"] is None
        if settings["noise_sampler"] is OWN:
            own = getattr(self, "noise_sampler", None)
            settings["noise_sampler"] = GaussianNoiseSampler() if own is None else own
        return ComputeSettings(**settings)

    def _names_in(self, data: Any, subject: Subject) -> tuple[list[str] | None, Any]:
        """Return what the data calls the columns that are explained, and its rows."""
        columns, index = names_in(data, subject)
        return columns if self.is_of_target else None, index

    def _keep(self, run: Run | None, feature_names: list[str] | None) -> None:
        """Keep what a call of this thread leaves behind."""
        assert run is not None  # it has been started
        run.feature_names = feature_names
        _last_runs.of[self] = run

    def _batches(
        self, data: Any, settings: ComputeSettings, subject: Subject
    ) -> Batches:
        """Return the data in batches, once all else has been checked."""
        self.check()
        check_prepared(data, subject, settings)
        check_tables_of_settings(vars(self), data, subject)
        return Batches(
            data,
            settings.batchsize or EXAMPLES_OF_BATCH,
            settings.converter,
            settings.preprocess_fn,
            subject.device,
            settings.seed,
            subject.dtype,
            may_list=subject.is_of_one_link,
            feature_names=names_in(data, subject)[0],
        )


def _on_cpu(x: Any) -> Any:
    """Return a copy of an array, or of those in a list, as NumPy arrays."""
    if isinstance(x, list):
        return [_on_cpu(element) for element in x]
    is_array = isinstance(x, chainer.get_array_types())
    return chainer.cuda.to_cpu(x).copy() if is_array else x


def _of_all_batches(parts: Sequence[Any]) -> Any:
    """Return an input of all batches: an array, or a list where batches are lists."""
    if isinstance(parts[0], list):
        return [x for part in parts for x in part]
    return join_padded(list(parts), axis=0, fill=0)


def _check_samples(samples: np.ndarray) -> None:
    if samples.ndim < 2 or samples.size == 0:
        raise ValueError(
            "saliency_arrays must be what compute returned, (M, N) + target shape, "
            f"got shape {samples.shape}"
        )
