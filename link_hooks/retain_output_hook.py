"""A function hook that keeps the arrays which Chainer's graph drops."""

from __future__ import annotations

import inspect
import itertools
from types import TracebackType
from typing import Any

import chainer

_numbers = itertools.count()


class RetainOutputHook(chainer.FunctionHook):
    """Keeps the inputs and outputs of every function applied while it is active.

    Once forward returns, Chainer keeps only the arrays that backward needs: the
    inputs of ReLU, max pooling, concatenation or ``x * 0.5`` are gone. This hook
    keeps them beside the graph, by function; what a function retains by itself is
    not touched. It also notes the link that applied each function. What is applied in
    :func:`chainer.no_backprop_mode` is in no graph, and is not kept.

    The arrays are the ones that were used, not copies: writing into them later shows.
    They are held until :meth:`clear`, or until the block is left by an exception.

    .. admonition:: Example

        >>> with RetainOutputHook() as hook:
        ...     y = model(x)
        >>> function = y.creator_node
        >>> inputs = hook.get_inputs(function)
        >>> hook.clear()
    """

    def __init__(self) -> None:
        # Chainer wants names to differ: a calculator may run while another is active.
        self.name = f"RetainOutputHook/{next(_numbers)}"
        self._inputs: dict[Any, tuple[Any, ...]] = {}
        self._links: dict[Any, chainer.Link] = {}
        self._arrays: dict[Any, Any] | None = None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc, traceback)
        if exc_type is not None:
            self.clear()

    def forward_postprocess(self, function: Any, in_data: tuple[Any, ...]) -> None:
        """Keep a function's inputs (called by Chainer after its forward)."""
        if not chainer.config.enable_backprop:
            return
        self._inputs[function] = in_data
        link = _running_link()
        if link is not None:
            self._links[function] = link
        self._arrays = None

    def get_inputs(self, function: chainer.FunctionNode) -> tuple[Any, ...]:
        """Return the arrays that a function was applied to.

        Raises:
            KeyError: If it was not applied while the hook was active.
        """
        return self._inputs[function]

    def get_outputs(self, function: chainer.FunctionNode) -> tuple[Any, ...]:
        """Return the arrays that a function gave.

        That of an output which nobody used and nobody holds is None.

        Raises:
            KeyError: If it was not applied while the hook was active.
        """
        if function not in self._inputs:
            raise KeyError(function)
        nodes = [ref() for ref in function.outputs]
        return tuple(None if n is None else self.get_array(n) for n in nodes)

    def get_array(self, node: Any) -> Any:
        """Return the array of a :class:`chainer.variable.VariableNode`, or None."""
        if self._arrays is None:
            # A producer's output is what its consumers received. A function that
            # raised in forward has no inputs.
            self._arrays = {
                x: array
                for function, arrays in self._inputs.items()
                for x, array in zip(function.inputs or (), arrays)
            }
        if node in self._arrays:
            return self._arrays[node]
        variable = node.get_variable_or_none()
        return node.data if variable is None else variable.array

    def get_link(self, function: chainer.FunctionNode) -> chainer.Link | None:
        """Return the innermost link in whose forward a function was applied."""
        return self._links.get(function)

    def clear(self) -> None:
        """Let go of all arrays."""
        self._inputs.clear()
        self._links.clear()
        self._arrays = None


def _running_link() -> chainer.Link | None:
    """Return the innermost link whose forward is running, or None.

    Link hooks would not do: they are not told when a link raises, nor of links that
    override ``__call__`` or are called as ``link.forward(x)``.
    """
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        # Until Python 3.12, reading f_locals holds the variables until the frame
        # ends; so no other frames are asked.
        is_method = code.co_varnames[:1] == ("self",)
        if is_method and code.co_name in ("forward", "__call__"):
            link = frame.f_locals["self"]
            if isinstance(link, chainer.Link):
                return link
        frame = frame.f_back
    return None
