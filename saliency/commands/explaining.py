"""From a command line to explanations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency.commands.calculators import Method
from saliency.commands.data import Examples, read_data
from saliency.commands.errors import Unusable
from saliency.commands.networks import (
    Network,
    Prepared,
    check_options,
    load_network,
    prepare,
)
from saliency.commands.outputs import number_of_outputs
from saliency.commands.settings import settings_for
from saliency.commands.shared_work import explain_by_workers

#: More classes than that are not explained one by one.
_MANY_CLASSES = 100


class Task(NamedTuple):
    """What a command line asks for, read and loaded.

    Attributes:
        args (Namespace): The options.
        examples (Examples): What is explained.
        prepared (Prepared): The same as the network takes it.
        target: Where saliency is read; None is the input.
        n_class (int or None): How many columns the output has, if that can be told.
    """

    args: argparse.Namespace
    examples: Examples
    prepared: Prepared
    target: Any
    n_class: int | None

    @property
    def network(self) -> Network:
        """What explains."""
        return self.prepared.network

    @property
    def class_index(self) -> Any:
        """What of the output is explained, as calculators take it."""
        asked, labels = self.args.which_class, self.prepared.known.get("class_names")
        if asked is None:
            return None if self.n_class == 1 else "argmax"
        if asked == "predicted":
            return "argmax"
        if asked in ("sum", "all"):
            return asked
        if asked.isdecimal():
            return _class_of_number(int(asked), labels or ())
        if labels is None:
            raise Unusable(
                f"--class {asked}: the classes have no names; pass a number, or the "
                "names with --classes"
            )
        try:
            return saliency.class_index_of(asked, labels)
        except ValueError as error:
            reason = str(error).removeprefix(f"name={asked!r} ")
            if "Did you mean" in reason:  # with the numbers of these classes
                raise Unusable(f"--class {asked} {reason}") from None
            raise _no_such_class(asked, labels) from None

    @property
    def batches(self) -> dict[str, Any]:
        """How the data becomes batches, as calculators and metrics take it."""
        found = {"batchsize": self.args.batchsize}
        if "converter" in self.prepared.known:
            found["converter"] = self.prepared.known["converter"]
        return found

    def calculator(self, method: Method) -> tuple[Any, dict[str, Any]]:
        """Return the calculator of a method, and arguments of its calls.

        Raises:
            Unusable: If the method or a setting does not fit.
            TypeError, ValueError: As calculators.
        """
        of_calculator, of_call = settings_for(method, self.prepared, self.args)
        return self._calculator(method, of_calculator, self.class_index), of_call

    def explain(self, method: Method) -> saliency.Explanation:
        """Return what a method finds.

        Raises:
            Unusable: If the method or a setting does not fit.
            TypeError, ValueError: As calculators.
        """
        of_calculator, of_call = settings_for(method, self.prepared, self.args)
        index = self.class_index
        explains_all = method.calculator.explains_all_classes
        if index == "all" and not explains_all:
            return self._of_all_classes(method, of_calculator, of_call)
        return self._explanation(method, of_calculator, of_call, index)

    def _of_all_classes(
        self, method: Method, of_calculator: dict[str, Any], of_call: dict[str, Any]
    ) -> saliency.Explanation:
        if self.n_class is None or not 1 <= self.n_class <= _MANY_CLASSES:
            raise Unusable(
                f"--class all: {method.name} explains one class at a time, and there "
                f"are {self.n_class}; occlusion explains all at once"
            )
        return saliency.Explanation.of_classes(
            self._explanation(method, of_calculator, of_call, index)
            for index in range(self.n_class)
        )

    def _explanation(
        self,
        method: Method,
        of_calculator: dict[str, Any],
        of_call: dict[str, Any],
        index: Any,
    ) -> saliency.Explanation:
        calculator = self._calculator(method, of_calculator, index)
        how = {
            "seed": self.args.seed,
            "batchsize": self.args.batchsize,
            "show_progress": not self.args.quiet,
            **of_call,
        }
        explanation: saliency.Explanation
        if getattr(self.args, "workers", None) is not None:
            store = self.args.out / "scores.zarr"
            self.args.out.mkdir(parents=True, exist_ok=True)
            how["workers"] = self.args.workers
            explanation = explain_by_workers(calculator, self.prepared, store, **how)
        else:
            known = self.prepared.known
            explanation = calculator.explain(self.prepared.data, **known, **how)
        if explanation.index is None:
            names = np.array(self.examples.names[: len(explanation)])
            explanation = replace(explanation, index=names)
        return explanation

    def _calculator(
        self, method: Method, of_calculator: dict[str, Any], index: Any
    ) -> Any:
        forward = self.network.forward
        return method.calculator(
            self.network.model,
            target_extractor=self.target,
            eval_fun=None if forward is self.network.model else forward,
            class_index=index,
            **of_calculator,
        )


def _class_of_number(number: int, labels: Sequence[str]) -> int:
    """Return the index of a class: a number, unless numbers are the names of others.

    Of the grades 3 to 8 of a wine, 5 is the third and not the last one.

    Raises:
        Unusable: If classes are named by numbers, and not one of them by this one.
    """
    named = [_number_in(label) for label in labels]
    if all(one is None or one == i for i, one in enumerate(named)):
        return number
    if named.count(number) != 1:
        raise _no_such_class(str(number), labels)
    return named.index(number)


def _number_in(label: str) -> float | None:
    """Return the number that a label is, if it is one."""
    try:
        return float(label)
    except ValueError:
        return None


def _no_such_class(asked: str, labels: Sequence[str]) -> Unusable:
    some = ", ".join(labels[:10]) + ", ..." * (len(labels) > 10)
    return Unusable(f"--class {asked}: there is no such class; they are {some}")


def read_task(args: argparse.Namespace) -> Task:
    """Read and load what a command line names.

    Raises:
        Unusable: If anything cannot be used.
    """
    check_options(args)
    if args.which_class == "all" and getattr(args, "workers", None) is not None:
        raise Unusable(
            "--class all: with --workers, one class is explained at a time; leave one "
            "of the two out"
        )
    examples = read_data(args)
    network = load_network(args)
    prepared = prepare(examples, network, args)
    target = _target(network.model, prepared.kind, args.target)
    n_class = number_of_outputs(prepared)
    _check_labels(prepared.known.get("class_names"), n_class, args)
    task = Task(args, examples, prepared, target, n_class)
    _check_class(task.class_index, n_class)
    return task


def _check_labels(
    labels: list[str] | None, n_class: int | None, args: argparse.Namespace
) -> None:
    if labels is not None and n_class is not None and len(labels) != n_class:
        raise Unusable(
            f"{'--classes' if args.classes else 'the model'} must name all {n_class} "
            f"outputs, got {len(labels)} names"
        )


def _check_class(index: Any, n_class: int | None) -> None:
    if isinstance(index, int) and n_class is not None and index >= n_class:
        raise Unusable(f"--class {index}: classes are numbered 0 to {n_class - 1}")


def _target(model: Any, kind: str, link: str | None) -> Any:
    """Return where saliency is read: at the output of a link, or at the input."""
    if link is None and kind != "molecule":
        return None
    import chainer

    if not isinstance(model, chainer.Link):
        raise Unusable(
            "saliency at a link (--target, and molecules always) needs a model that is "
            f"a chainer.Link, got {type(model).__name__}"
        )
    links = {path[1:]: one for path, one in model.namedlinks(skipself=True)}
    if link is None:
        found = [one for one in links.values() if _embeds(one)]
        if len(found) != 1:
            raise Unusable(
                f"the model has {len(found)} links of the class EmbedID; with "
                "--target, name the link at which saliency is read"
            )
        return saliency.VariableMonitorLinkHook(found[0])
    if link.strip("/") not in links:
        raise Unusable(
            f"--target {link}: the model has no such link; it has {', '.join(links)}"
        )
    return saliency.VariableMonitorLinkHook(links[link.strip("/")])


def _embeds(link: Any) -> bool:
    import chainer

    return isinstance(link, chainer.links.EmbedID)
