"""Whether data is prepared for a model: its columns in order, and all of it numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saliency.calculator.engine.data_frames import Table, as_table, explained_table
from saliency.calculator.engine.door import first_called
from saliency.calculator.engine.settings import ComputeSettings
from saliency.calculator.engine.subject import Subject

import chainer
from chainer.dataset import concat_examples

_ARRAYS = (*chainer.get_array_types(), chainer.Variable, np.generic, int, float)
_NO_TABLES = "class_index"  # a column of it has a class for each row


def check_prepared(data: Any, subject: Subject, settings: ComputeSettings) -> None:
    """Raise if data is not prepared for the model, as far as both say.

    A model may have ``column_names``, the names of the columns that a table must have,
    in this order (None if it knows none), and ``encode``, a method that makes such a
    table of others; or ``prepare``, a method that makes an example of what is no array,
    and the ``converter`` for such examples.

    Args:
        data: The data as the user gave it.
        subject (Subject): What is explained.
        settings (ComputeSettings): With a converter or ``preprocess_fn`` of the
            user's, nothing is checked: they make of data what the model takes.

    Raises:
        TypeError: If columns or examples are texts, or have to be prepared.
        ValueError: If a table has other columns than the model, or in another order.
    """
    if settings.converter is not concat_examples or settings.preprocess_fn is not None:
        return
    model = _taker(subject)
    if isinstance(data, tuple) and data:
        data = data[0]
    table = as_table(data)
    if table is not None and table.dtype is None:
        _check_columns(table, model)
        return
    if table is not None and table.others:
        data = table.to_array()
    is_array = isinstance(data, np.ndarray) and data.ndim > 0
    if (is_array or isinstance(data, list)) and len(data):
        _check_example(data[0], model)


def check_tables_of_settings(
    settings: Mapping[str, Any], data: Any, subject: Subject
) -> None:
    """Raise a ValueError if a table among the settings has other columns than data.

    Such as one of baselines, or a Series with the mean of each column.

    Args:
        settings (dict): The settings of a calculator, and whatever else it holds.
        data: The data as the user gave it.
        subject (Subject): What is explained.
    """
    explained = None if subject.is_of_one_link else explained_table(data, subject)
    columns = None if explained is None else explained.names_along_row()
    if columns is None:
        return
    for name, value in settings.items():
        table = None if name == _NO_TABLES else as_table(value)
        names = None if table is None else table.names_along_row()
        if names is not None and names != columns:
            raise ValueError(
                f"{name} must have the columns of data in the same order, "
                f"{_listed(columns)}; got {_listed(names)}"
            )


def _taker(subject: Subject) -> Any:
    """Return the link that takes the first input, as far as one can see from outside.

    That is also one of which a method is called, or the model around which the user
    has written a function.
    """
    for called in (subject.eval_fun, subject.model):
        first = first_called(called)
        owner = getattr(first, "__self__", first)
        if isinstance(owner, chainer.Link):
            return owner
    return None


def _check_columns(table: Table, model: Any) -> None:
    expected = getattr(model, "column_names", None)
    encode = "; pass model.encode(data)" if _encodes(model) else ""
    if encode and table.others:
        raise TypeError(
            f"data must be numeric, but the {table.what} has the columns "
            f"{_listed(table.others)}{encode}"
        )
    names = table.names_along_row()
    if expected is not None and names is not None and names != list(expected):
        raise ValueError(
            "data must have the columns that the model takes, in this order: "
            f"{_listed(expected)}; got {_listed(names)}{encode}"
        )


def _check_example(example: Any, model: Any) -> None:
    """Raise a TypeError if an example of a list or an array has to be prepared."""
    text = _first_text(example)
    is_array = isinstance(example, (tuple, list, dict, *_ARRAYS)) and text is None
    if hasattr(model, "prepare") and hasattr(model, "converter") and not is_array:
        raise TypeError(
            f"data must hold what model.prepare returns, got {_described(example)}; "
            "pass [model.prepare(one) for one in data] and converter=model.converter"
        )
    if text is None:
        return
    advice = (
        "pass model.encode(data)"
        if _encodes(model)
        else "make numbers of texts and molecules first, such as those of tokens or "
        "of atoms and bonds, or pass a converter that does"
    )
    raise TypeError(f"data must be numeric, got {_described(text)}; {advice}")


def _encodes(model: Any) -> bool:
    # Methods of this name alone say little: autoencoders have one.
    return hasattr(model, "column_names") and hasattr(model, "encode")


def _first_text(example: Any) -> str | None:
    """Return a text that an example is or holds; None if it seems to hold none."""
    if isinstance(example, (str, bytes)):
        return str(example)
    if isinstance(example, np.ndarray) and example.dtype.kind not in "OUS":
        return None
    if not isinstance(example, (list, tuple, np.ndarray)):
        return None
    return next((str(x) for x in example if isinstance(x, (str, bytes))), None)


def _described(example: Any) -> str:
    text = repr(str(example) if isinstance(example, str) else example)
    return f"the {type(example).__name__} {text if len(text) < 60 else text[:57]}"


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 8 else ""
    return ", ".join(map(repr, names[:8])) + more
