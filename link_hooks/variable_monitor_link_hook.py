"""A link hook that catches the variable at a link's input or output."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from logging import Logger, getLogger
from numbers import Integral
from typing import Any, Callable, NamedTuple

from link_hooks.overridden_calls import is_told_already, told_of_calls

import chainer


class _Session(NamedTuple):
    """What is caught for one user of a hook."""

    variables: list[Any]
    catch: Callable[[Any, int], None] | None
    catches_first: bool = False  # before the processes rather than after them


class _Sessions(threading.local):
    """The sessions of the current thread, the innermost last."""

    def __init__(self) -> None:
        self.stack = [_Session([], None)]
        self.told: list[AbstractContextManager[None]] = []


class VariableMonitorLinkHook(chainer.LinkHook):
    """Catches the variable at the input or output of one link during forward.

    A link that is called several times gives one variable per call; see
    :attr:`variables`. The hook forgets what it holds when it is registered anew. What
    it catches is kept for each thread by itself, so that several threads can use one
    hook.

    Args:
        target_link (chainer.Link): The link to watch.
        name (str): Name under which the hook registers. Two hooks that are active
            at once as ``with`` blocks need different names.
        timing (str): ``'pre'`` for the first input of the link, ``'post'`` for its
            output.
        extract_fn (callable or None): Picks another variable. It is called as
            ``extract_fn(hook, args)`` with Chainer's callback data and returns a
            :class:`chainer.Variable`; for ``timing='post'`` ``args.out`` is what
            the link returned.
        logger (logging.Logger or None): Where :meth:`delete_process` reports a process
            that is not there. ``None`` is the logger of this module.
        call (int or None): Where the link is called several times in one forward
            pass, the call (counted from 0) that calculators explain. ``None``
            explains all of them.
        calls (str): What calculators make of several calls. With ``'sum'`` saliency is
            computed at each call and added up. With ``'stack'`` the calls are one
            target with an axis for them in front, ``(M, N, n_call) + shape``: for
            models that embed a step or a tree node at a time. Noise is drawn for all of
            them, a path moves all of them together, and a window slides over them.

    Raises:
        TypeError: If ``target_link`` is not a link, ``extract_fn`` not callable, or
            ``logger`` not a logger.
        ValueError: If ``timing``, ``call`` or ``calls`` is none of the values above, or
            one call is to be stacked.

    .. admonition:: Example

        >>> hook = VariableMonitorLinkHook(model.l1, timing='post')
        >>> with hook:
        ...     y = model(x)
        >>> hook.get_variable().shape
        (16, 48)
    """

    def __init__(
        self,
        target_link: chainer.Link,
        name: str = "VariableMonitorLinkHook",
        timing: str = "post",
        extract_fn: Callable[[VariableMonitorLinkHook, Any], Any] | None = None,
        logger: Logger | None = None,
        *,
        call: int | None = None,
        calls: str = "sum",
    ) -> None:
        if not isinstance(target_link, chainer.Link):
            raise TypeError(
                f"target_link must be a chainer.Link, got {type(target_link).__name__}"
            )
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {name!r}")
        if timing not in ("pre", "post"):
            raise ValueError(f"timing must be 'pre' or 'post', got {timing!r}")
        if extract_fn is not None and not callable(extract_fn):
            raise TypeError(f"extract_fn must be callable or None, got {extract_fn!r}")
        if logger is not None and not callable(getattr(logger, "warning", None)):
            raise TypeError(
                f"logger must be a logging.Logger or None, got {logger!r}; the number "
                "of a call goes by name, call=0"
            )
        if call is not None and not (isinstance(call, Integral) and call >= 0):
            raise ValueError(f"call must be an int >= 0 or None, got {call!r}")
        if calls not in ("sum", "stack"):
            raise ValueError(f"calls must be 'sum' or 'stack', got {calls!r}")
        if call is not None and calls == "stack":
            raise ValueError(
                f"call={call!r} asks for one call, and calls='stack' for all of them; "
                "leave one out"
            )
        super().__init__()
        self.target_link = target_link
        self.name = name
        self.timing = timing
        self.extract_fn = extract_fn or _EXTRACT_FNS[timing]
        self.logger = logger or getLogger(__name__)
        self.call = call
        self.calls = calls
        self.process_fns: dict[str, Callable[..., None]] = {}
        self._sessions = _Sessions()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_sessions"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _sessions=_Sessions())

    def __repr__(self) -> str:
        settings = [self.describe_link()]
        if self.timing != "post":
            settings.append(f"timing={self.timing!r}")
        if self.extract_fn is not _EXTRACT_FNS[self.timing]:
            name = getattr(self.extract_fn, "__qualname__", type(self.extract_fn))
            settings.append(f"extract_fn={name}")
        if self.call is not None:
            settings.append(f"call={self.call}")
        if self.calls != "sum":
            settings.append(f"calls={self.calls!r}")
        return f"VariableMonitorLinkHook({', '.join(settings)})"

    @property
    def variables(self) -> tuple[Any, ...]:
        """The variables of all calls since registration, in the order of the calls."""
        return tuple(self._variables)

    @property
    def _variables(self) -> list[Any]:
        return self._sessions.stack[-1].variables

    @contextlib.contextmanager
    def session(
        self, catch: Callable[[Any, int], None] | None = None
    ) -> Iterator[None]:
        """Return a block in which this thread starts afresh.

        What was caught before the block is there again after it. Calculators use it,
        so that they and the user can share a hook.

        Args:
            catch (callable or None): ``catch(variable, call)`` is called for every
                caught variable after the processes, with the number of the call.
        """
        self._sessions.stack.append(_Session([], catch))
        try:
            yield
        finally:
            self._sessions.stack.pop()

    def start_over(self) -> None:
        """Let the next forward pass of a session be seen as if it were the first.

        Calls are counted from 0 again, and the session's ``catch`` is called before
        the processes, so that these see what it makes of the variable. It is for code
        that runs a model several times for one result.
        """
        session = self._sessions.stack[-1]
        session.variables.clear()
        self._sessions.stack[-1] = session._replace(catches_first=True)

    def get_variable(self, call: int = -1) -> chainer.Variable:
        """Return the variable of one call.

        Args:
            call (int): Which call; counted from 0, or from the end if negative.
                The default is the last one.

        Raises:
            ValueError: If the link was not called, or not that often.
        """
        self.check_called()
        if not -len(self._variables) <= call < len(self._variables):
            raise ValueError(
                f"call={call}, but {self.describe_link()} was called "
                f"{len(self._variables)} times"
            )
        return self._variables[call]

    def check_called(self) -> None:
        """Raise a ValueError that names the link if it was never called."""
        if not self._variables:
            raise ValueError(
                f"target_link {self.describe_link()} was never called during forward. "
                "Is it a link of this model, is it called as link(x) rather than "
                "link.forward(x), and was the model run while the hook was active?"
            )

    def describe_link(self) -> str:
        """Return name and class of the link, for messages."""
        return f"'{self.target_link.name or '/'}' ({type(self.target_link).__name__})"

    def clear(self) -> None:
        """Forget the variables, and with them the graph that they keep alive."""
        self._variables.clear()

    def add_process(self, key: str, fn: Callable[..., None]) -> None:
        """Have ``fn(hook, args, target_variable)`` called for every caught variable.

        It may set ``target_variable.array``: the rest of the forward pass then
        sees that array.

        Args:
            key (str): Name for :meth:`delete_process`; a process of the same name
                is replaced.
            fn (callable): The process.

        Raises:
            TypeError: If ``key`` is not a str or ``fn`` is not callable.
        """
        if not isinstance(key, str):
            raise TypeError(f"key must be a str, got {key!r}")
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {fn!r}")
        self.process_fns[key] = fn

    def delete_process(self, key: str) -> None:
        """Remove a process that :meth:`add_process` added.

        Where there is no process of that name, a warning is logged.

        Args:
            key (str): The name that it was added under.

        Raises:
            TypeError: If ``key`` is not a str.
        """
        if not isinstance(key, str):
            raise TypeError(f"key must be a str, got {key!r}")
        if key not in self.process_fns:
            self.logger.warning(
                "There is no process named %r to delete; there are %s",
                key,
                sorted(self.process_fns),
            )
            return
        del self.process_fns[key]

    def added(self, link: chainer.Link | None) -> None:
        """Start afresh (called by Chainer when the hook is registered)."""
        self.clear()
        told = told_of_calls(self.target_link)
        told.__enter__()
        self._sessions.told.append(told)

    def deleted(self, link: chainer.Link | None) -> None:
        """Let the link be called as before (called by Chainer in the end)."""
        if self._sessions.told:
            self._sessions.told.pop().__exit__(None, None, None)

    def forward_preprocess(self, args: Any) -> None:
        """Catch the input (called by Chainer before a link's forward)."""
        if self.timing == "pre" and self._is_meant(args):
            self._catch(args)

    def forward_postprocess(self, args: Any) -> None:
        """Catch the output (called by Chainer after a link's forward)."""
        if self.timing == "post" and self._is_meant(args):
            self._catch(args)

    def _is_meant(self, args: Any) -> bool:
        return args.link is self.target_link and not is_told_already(args.link)

    def _catch(self, args: Any) -> None:
        session = self._sessions.stack[-1]
        variable = self.extract_fn(self, args)
        session.variables.append(variable)
        call = len(session.variables) - 1
        if session.catch is not None and session.catches_first:
            session.catch(variable, call)
        for process in tuple(self.process_fns.values()):
            process(self, args, variable)
        if session.catch is not None and not session.catches_first:
            session.catch(variable, call)


def _first_input(hook: VariableMonitorLinkHook, args: Any) -> Any:
    return args.args[0]


def _output(hook: VariableMonitorLinkHook, args: Any) -> Any:
    return args.out


_EXTRACT_FNS = {"pre": _first_input, "post": _output}
