"""The variables that a pass is asked for: where saliency is read, what is explained."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Callable, NamedTuple

from link_hooks import VariableMonitorLinkHook
from link_hooks.overridden_calls import told_of_calls
from saliency.calculator.engine.subject import Subject

import chainer

Catch = Callable[[int, Any, int], None]
CatchCall = Callable[[Any, int], None]


class Extraction:
    """Runs what is explained and catches its target and outputs on the way.

    The extractors of the user are registered in this thread alone, for the length of
    a call.

    Args:
        subject (Subject): What is explained.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._extractors = subject.extractors
        self._hooks_of_the_user: set[int] = set()

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        """Return a block for a whole call.

        Where the call is made from within another one, by a model that calls a
        calculator, that one's hooks do not see the passes of this one.
        """
        with contextlib.ExitStack() as stack:
            if _thread.passes:
                stack.enter_context(_hidden(_thread.passes[-1]))
            self._hooks_of_the_user = {id(hook) for hook in _hooks_of_thread()}
            for extractor in self._extractors:
                if not _is_registered(extractor):
                    stack.enter_context(_registered(extractor))
            yield

    def forward(self, inputs: Sequence[Any], catch: Catch) -> list[Any]:
        """Run what is explained.

        Args:
            inputs (sequence): What it is called with.
            catch (callable): ``catch(position, variable, call)`` is called for each
                explained call of a target's link, before what comes after it runs.
                The position is that among the targets.

        Returns:
            list of chainer.Variable: The outputs that are explained.

        Raises:
            TypeError: If an output is no Variable.
            ValueError: If an extractor's link was not called, or not that often.
        """
        targets = self._subject.targets_of(inputs)
        with contextlib.ExitStack() as stack:
            for extractor in self._extractors:
                wanted = None
                if extractor in targets:
                    wanted = _wanted(
                        extractor, partial(catch, targets.index(extractor))
                    )
                stack.enter_context(extractor.session(wanted))
            for position, target in enumerate(targets):
                if isinstance(target, int):
                    catch(position, inputs[target], 0)
            _thread.passes.append(self._pass())
            try:
                result = self._subject.eval_fun(*inputs)
            finally:
                _thread.passes.pop()
            for target in targets:
                if not isinstance(target, int):
                    _asked_variables(target)
            return self._outputs(result)

    def has_other_hooks(self, links: Sequence[tuple[str, chainer.Link]]) -> bool:
        """Tell whether hooks of the user's see a pass.

        Args:
            links (sequence of (str, chainer.Link)): The links that it runs.
        """
        if self._hooks_of_the_user:
            return True
        return any(link._n_local_link_hooks for _, link in links)

    def _outputs(self, result: Any) -> list[Any]:
        extractor = self._subject.output_extractor
        if isinstance(result, (list, tuple)) and len(result) == 1:
            result = result[0]  # of the one example that there is
        outputs = [result] if extractor is None else _asked_variables(extractor)
        for y in outputs:
            if not isinstance(y, chainer.Variable):
                raise TypeError(
                    "the output must be a chainer.Variable, got "
                    f"{type(y).__name__}; pass an eval_fun that returns one, or an "
                    "output_extractor"
                )
        return outputs

    def _pass(self) -> _Pass:
        """Return which hooks of this thread are there for the sake of this pass."""
        ours = {id(hook) for hook in _hooks_of_thread()} - self._hooks_of_the_user
        return _Pass(ours, self._extractors)


class _Pass(NamedTuple):
    """A pass under way, as a call within it needs to know it."""

    hooks: set[int]
    extractors: tuple[VariableMonitorLinkHook, ...]


class _Thread(threading.local):
    def __init__(self) -> None:
        self.passes: list[_Pass] = []


_thread = _Thread()


def _hooks_of_thread() -> list[Any]:
    return [*chainer._get_link_hooks().values(), *chainer.get_function_hooks().values()]


@contextlib.contextmanager
def _hidden(outer: _Pass) -> Iterator[None]:
    """Return a block in which the hooks of a pass under way see nothing."""
    registries = [chainer._get_link_hooks(), chainer.get_function_hooks()]
    before = [list(registry.items()) for registry in registries]
    with contextlib.ExitStack() as stack:
        for extractor in outer.extractors:
            stack.enter_context(extractor.session())
        try:
            for registry, items in zip(registries, before):
                for name, hook in items:
                    if id(hook) in outer.hooks:
                        del registry[name]
            yield
        finally:
            for registry, items in zip(registries, before):
                registry.clear()
                registry.update(items)


def _is_registered(extractor: VariableMonitorLinkHook) -> bool:
    """Tell whether the user has registered an extractor already."""
    hooks = (
        *chainer._get_link_hooks().values(),
        *extractor.target_link.local_link_hooks.values(),
    )
    return any(hook is extractor for hook in hooks)


@contextlib.contextmanager
def _registered(extractor: VariableMonitorLinkHook) -> Iterator[None]:
    """Return a block in which an extractor sees what this thread runs."""
    hooks = chainer._get_link_hooks()
    name = f"saliency/{id(extractor):x}"
    with told_of_calls(extractor.target_link):
        try:
            hooks[name] = extractor
            yield
        finally:
            hooks.pop(name, None)


def _wanted(extractor: VariableMonitorLinkHook, catch: CatchCall) -> CatchCall:
    """Return what catches the calls that the extractor is asked for."""

    def catch_wanted(variable: Any, call: int) -> None:
        if extractor.call in (None, call):
            catch(variable, call)

    return catch_wanted


def _asked_variables(extractor: VariableMonitorLinkHook) -> list[Any]:
    """Return the variables of the calls that the extractor is asked for."""
    extractor.check_called()
    if extractor.call is None:
        return list(extractor.variables)
    return [extractor.get_variable(extractor.call)]
