"""Groups of a target's elements, which are present or absent together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from saliency.calculator.engine.clean_passes import CleanPasses
from saliency.calculator.engine.dataset import Batches, UserBatch
from saliency.calculator.masks.channels_last import LayoutCheck, SignalCheck
from saliency.calculator.masks.superpixels import Superpixels
from saliency.checks import check_choice, is_int, narrowed
from saliency.explanation.groups import GroupedColumns

import chainer

#: How a group's value is given to its elements.
PER = ("element", "group")


class Groups:
    """The setting ``groups``: which elements of a target belong together.

    Args:
        value: None, an array of int, a dict of columns, or a callable; or with several
            targets a tuple of these. :class:`saliency.FeatureAblationCalculator` says
            what each means.
        has_targets (bool): Whether a tuple is one of these for each of several targets.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it is a dict with an empty group.
    """

    def __init__(self, value: Any, has_targets: bool) -> None:
        is_of_targets = has_targets and isinstance(value, tuple)
        given = value if is_of_targets else (value,)
        self._values = [_checked(one) for one in given]
        self._is_of_targets = is_of_targets

    def for_data(self, batches: Batches, tell_apart: bool = True) -> GroupsForData:
        """Return the groups for the examples of one call.

        Args:
            batches (Batches): The data; it knows the names of columns.
            tell_apart (bool): Whether it matters what is in which group.
        """
        names = batches.feature_names
        return GroupsForData(self._values, self._is_of_targets, names, tell_apart)


class GroupsForData:
    """The groups of the targets of one call's examples.

    Args:
        values (list): As in :class:`Groups`, checked; one for each target, or for all.
        is_of_targets (bool): Whether there is one for each.
        names (list of str or None): What the data calls its columns.
        tell_apart (bool): Whether it matters what is in which group.
    """

    def __init__(
        self,
        values: list[Any],
        is_of_targets: bool,
        names: list[str] | None,
        tell_apart: bool,
    ) -> None:
        self._values = values
        self._is_of_targets = is_of_targets
        self._names = names
        self._layouts = [LayoutCheck(_advice_for(value)) for value in values]
        self._signals = SignalCheck()
        self._tell_apart = tell_apart

    def of_batch(self, batch: UserBatch, passes: CleanPasses) -> list[GroupsOfTarget]:
        """Return the groups of each target, numbered through from target to target.

        Raises:
            ValueError: If groups do not fit a target, or there are not as many as
                targets.
        """
        shapes = passes.target_shapes(batch)
        if self._is_of_targets and len(self._values) != len(shapes):
            raise ValueError(
                f"groups as a tuple must hold one for each of {len(shapes)} targets, "
                f"got {len(self._values)}"
            )
        found: list[GroupsOfTarget] = []
        for position, shape in enumerate(shapes):
            which = position if self._is_of_targets else 0
            value = self._values[which]
            is_of_pixels = value is None or isinstance(value, Superpixels)
            if is_of_pixels and self._tell_apart:
                self._layouts[which].look_at(batch, passes, position)
                if value is None:
                    self._signals.look_at(batch, passes, position)
            lengths = batch.lengths_at(position)
            if callable(value):
                targets = chainer.cuda.to_cpu(passes.targets(batch)[position])
                numbers = _of_callable(value, targets, lengths)
            else:
                numbers = self._numbers(value, shape, batch)
            of_target = _of_numbers(numbers, shape, lengths)
            found.append(of_target.behind(found[-1]) if found else of_target)
        return found

    def _numbers(
        self, value: Any, shape: tuple[int, ...], batch: UserBatch
    ) -> np.ndarray:
        """Return a number for each element, ``(1 or size,) + shape``, as given."""
        if value is None:
            return _each_by_itself(shape)[None]
        if isinstance(value, Mapping):
            return self._of_columns(value, shape)[None]
        array: np.ndarray = value
        if array.ndim == len(shape) - 1:
            return array[None]
        if array.ndim == len(shape) and len(array) in (1, batch.n_data):
            return array if len(array) == 1 else array[batch.index]
        raise _wrong_shape(array.shape, shape, batch.n_data)

    def _of_columns(
        self, groups: Mapping[str, Any], shape: tuple[int, ...]
    ) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(
                "groups as a dict are of the columns of a table (N, n_feature), but "
                f"the target has the shape {shape}; pass an array of int"
            )
        names = self._names or [str(i) for i in range(shape[1])]
        if len(names) != shape[1]:
            raise ValueError(
                f"groups are of the {len(names)} columns of data, but the target has "
                f"the shape {shape}; pass an array of int"
            )
        if len(set(names)) < len(names):
            groups, names = _by_position(groups, names)
        named = {title: _names_of(title, m, names) for title, m in groups.items()}
        return np.array(GroupedColumns(named, names).places)


@dataclass(frozen=True)
class GroupsOfTarget:
    """The groups of a target of a batch.

    Attributes:
        numbers (numpy.ndarray): The group of each element, counted through all targets
            of its example, ``(1 or size,)`` and a shape that can be broadcast to that
            of the target; -1 where an element is in none.
        first (numpy.ndarray): For each example, the number of its first group.
        n_group (numpy.ndarray): For each example, how many groups it has.
        shape (tuple of int): Shape of an example's target.
    """

    numbers: np.ndarray
    first: np.ndarray
    n_group: np.ndarray
    shape: tuple[int, ...]

    @property
    def stop(self) -> np.ndarray:
        """The number behind the last group of each example, ``(size,)``."""
        stop: np.ndarray = self.first + self.n_group
        return stop

    @cached_property
    def is_each_element(self) -> bool:
        """Whether all elements are groups of their own, in their order."""
        n = math.prod(self.shape)
        flat = self.numbers.reshape(len(self.numbers), -1)
        return flat.shape == (1, n) and bool((flat[0] == np.arange(n)).all())

    def of_rows(self, examples: np.ndarray) -> np.ndarray:
        """Return the numbers for some examples, or for all of them if they share them.

        Args:
            examples (numpy.ndarray): Positions in the batch.
        """
        return self.numbers if len(self.numbers) == 1 else self.numbers[examples]

    def behind(self, other: GroupsOfTarget) -> GroupsOfTarget:
        """Return these groups with numbers behind those of another target."""
        first = other.stop
        is_alike = bool((first == first[0]).all())
        offset = first[:1] if is_alike else first
        offset = offset.reshape((-1,) + (1,) * (self.numbers.ndim - 1))
        numbers = np.where(self.numbers < 0, -1, self.numbers + offset)
        return replace(self, numbers=numbers, first=first)

    def maps(self, values: np.ndarray, per: str, dtype: np.dtype) -> np.ndarray:
        """Return what elements get of the values of their groups.

        Args:
            values (numpy.ndarray): ``(n, size, n_group, n_class)``, of all targets.
            per (str): ``'element'`` divides a value among the elements of its group,
                ``'group'`` gives it to each of them.
            dtype (numpy.dtype): Of the maps.

        Returns:
            numpy.ndarray: ``(n, size, n_class) + shape``, 0 where an element is in no
            group.

        Raises:
            ValueError: If a finite value is beyond the largest of ``dtype``.
        """
        if per == "element":
            values = values / self._sizes(values.shape[2])[:, :, None]
        zero = np.zeros((*values.shape[:2], 1, values.shape[3]))
        padded = np.concatenate([values, zero], axis=2)  # where -1 finds a zero
        padded = np.moveaxis(narrowed(padded, dtype, "a saliency"), 3, 2)
        n_sample, n_example, n_class, _ = padded.shape
        maps = np.empty((n_sample, n_example, n_class, *self.shape), dtype)
        if len(self.numbers) == 1:
            maps[...] = padded[..., self.numbers[0]]
            return maps
        for i, numbers in enumerate(self.numbers):
            maps[:, i] = padded[:, i][..., numbers]
        return maps

    def _sizes(self, n_group: int) -> np.ndarray:
        """Return how many elements each group has, ``(1 or size, n_group)``."""
        flat = self.numbers.reshape(len(self.numbers), -1)
        repeated = math.prod(self.shape) / max(flat.shape[1], 1)
        # With a place for elements in no group, which is the first.
        places = flat + 1 + np.arange(len(flat))[:, None] * (n_group + 1)
        counts = np.bincount(places.ravel(), minlength=len(flat) * (n_group + 1))
        counts = counts.reshape(len(flat), n_group + 1)[:, 1:]
        # Groups of other targets have no elements here.
        sizes: np.ndarray = np.maximum(counts * repeated, 1)
        return sizes


def check_per(per: Any) -> None:
    """Raise a ValueError unless it says how elements get the values of groups."""
    check_choice("per", per, PER)


def _checked(value: Any) -> Any:
    """Return one of the forms that users give, an array as such."""
    if isinstance(value, Mapping):
        if not all(map(_is_list, value.values())):
            raise TypeError(
                "groups as a dict must hold a list of columns for each group, got "
                f"{value!r}"
            )
        return value
    if value is None or callable(value):
        return value
    if isinstance(value, chainer.Variable):
        value = value.array
    is_array = isinstance(value, chainer.get_array_types())
    array = np.asarray(chainer.cuda.to_cpu(value) if is_array else value)
    if array.dtype.kind not in "iub":
        raise TypeError(
            "groups must be None, an array of int, a dict of lists of columns, or a "
            f"callable, got {value!r}"
        )
    return array.astype(np.int64)


def _is_list(members: Any) -> bool:
    return isinstance(members, Sequence) and not isinstance(members, str)


def _by_position(
    groups: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, list[int]], list[str]]:
    """Return groups by position, and names that tell columns of one name apart.

    A name is all columns that have it.
    """
    places = defaultdict(list)
    for position, name in enumerate(names):
        places[name].append(position)
    by_position = {
        title: [
            position for member in members for position in places.get(member, [member])
        ]
        for title, members in groups.items()
    }
    apart = [
        name if len(places[name]) == 1 else f"{name} (column {position})"
        for position, name in enumerate(names)
    ]
    return by_position, apart


def _names_of(title: str, members: Sequence[Any], names: Sequence[str]) -> list[str]:
    """Return the names of a group's columns, some of which may be given by position."""
    found = []
    for member in members:
        if is_int(member) and not 0 <= member < len(names):
            raise ValueError(
                f"groups[{title!r}] must hold names of columns, or positions in "
                f"0..{len(names) - 1}; got {member}"
            )
        found.append(names[member] if is_int(member) else member)
    return found


def _advice_for(value: Any) -> str:
    """Return what says which groups are those of images with their channels last."""
    if isinstance(value, Superpixels):
        return f"groups=lambda x: np.moveaxis({value!r}(np.moveaxis(x, 3, 1)), 1, 3)"
    return "groups=np.arange({n_pixel}).reshape({height}, {width}, 1) to explain pixels"


def _each_by_itself(shape: tuple[int, ...]) -> np.ndarray:
    """Return the groups of a target where the user gives none.

    They are the columns of a table, the positions of a sequence with all their
    channels, or the pixels of an image with all of theirs.
    """
    of_example = shape[1:]
    if len(of_example) <= 1:
        axes: tuple[int, ...] = of_example
    elif len(of_example) == 2:
        axes = (of_example[0], 1)
    else:
        axes = (1, *of_example[1:])
    return np.arange(math.prod(axes)).reshape(axes)


def _of_callable(
    groups: Any, targets: np.ndarray, lengths: np.ndarray | None
) -> np.ndarray:
    """Return what the user's function says of targets, of each without its padding."""
    if lengths is None:
        return _returned(groups, targets)
    found = [_returned(groups, t[None, :n])[0] for t, n in zip(targets, lengths)]
    n = targets.shape[1]
    return np.stack(
        [
            np.pad(
                one,
                [(0, n - len(one)), *[(0, 0)] * (one.ndim - 1)],
                constant_values=-1,
            )
            for one in found
        ]
    )


def _returned(groups: Any, targets: np.ndarray) -> np.ndarray:
    array = np.asarray(chainer.cuda.to_cpu(groups(targets)))
    fits = array.ndim == targets.ndim and len(array) in (1, len(targets))
    if array.dtype.kind not in "iub" or not fits:
        raise ValueError(
            f"groups={groups!r} must return an array of int for targets of shape "
            f"{targets.shape}, with an axis for their {len(targets)} rows; got "
            f"{array.dtype} of shape {array.shape}"
        )
    return array.astype(np.int64)


def _of_numbers(
    given: np.ndarray, shape: tuple[int, ...], lengths: np.ndarray | None
) -> GroupsOfTarget:
    """Return groups with their numbers from 0 on, example by example."""
    if lengths is not None:
        given = given[:, : shape[1]]
    try:
        np.broadcast_to(given, (len(given), *shape[1:]))
    except ValueError:
        raise _wrong_shape(given.shape[1:], shape, shape[0]) from None
    if lengths is not None and (lengths < shape[1]).any():
        n = shape[1]
        if given.shape[1] != n:
            wide = (given.shape[0], n, *given.shape[2:])
            given = np.broadcast_to(given, wide)
        is_padding = np.arange(n) >= np.asarray(lengths)[:, None]
        is_padding = is_padding.reshape(*is_padding.shape, *[1] * (given.ndim - 2))
        given = np.where(is_padding, -1, given)
    numbers = np.empty(given.shape, np.int64)
    n_group = np.empty(len(given), int)
    for i, row in enumerate(given):
        known, place = np.unique(row, return_inverse=True)
        n_none = int((known < 0).sum())
        numbers[i] = np.maximum(place.reshape(row.shape) - n_none, -1)
        n_group[i] = len(known) - n_none
    has_elements = 0 not in shape[1:] if lengths is None else lengths > 0
    if (has_elements & (n_group == 0)).any():
        raise ValueError(
            "groups must give each example at least one group, but all elements of one "
            "have negative numbers, or it has none"
        )
    size = shape[0]
    first = np.zeros(size, int)
    return GroupsOfTarget(numbers, first, np.broadcast_to(n_group, size), shape[1:])


def _wrong_shape(
    got: tuple[int, ...], shape: tuple[int, ...], n_data: int
) -> ValueError:
    return ValueError(
        f"groups must be an array of int of the shape {shape[1:]} of one example's "
        f"target (an axis may have length 1), or of that for each of the {n_data} "
        f"examples, got shape {got}"
    )
