"""Groups of features that are read as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from saliency.explanation.names import checked_names

#: The names of the features of each group, by its own name.
Groups = Mapping[str, Iterable[str]]


class GroupedColumns:
    """Which columns of a table are summed up.

    A group stands where the first of its features stood.

    Args:
        groups (dict): The names of the features of each group, by its own name.
        names (sequence of str): The names of all features.

    Attributes:
        names (list of str): The names of groups, and of features that are in none.
        n_feature (int): The number of all features.
        places (list of int): For each feature, its place among the names.

    Raises:
        TypeError: If ``groups`` is no dict, or a group no list of names.
        ValueError: If a group is empty, a name unknown or in several groups, or two
            columns would have one name.
    """

    def __init__(self, groups: Groups, names: Sequence[str]) -> None:
        group_of = _group_of_names(groups, names)
        titles = {title for title, _ in group_of.values()}
        for name in names:
            if name not in group_of and name in titles:
                raise ValueError(
                    f"groups: {name!r} would be a group and a feature outside of it"
                )
        # Features outside of groups stay apart, also where two have one name.
        keys = [group_of.get(name, (name, str(i))) for i, name in enumerate(names)]
        merged = list(dict.fromkeys(keys))
        self.names = [title for title, _ in merged]
        self.n_feature = len(names)
        self.places = [merged.index(key) for key in keys]
        self._is_alone = [name not in group_of for name in names]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return values ``(..., n_feature)`` summed, in float64."""
        sums = np.zeros((*values.shape[:-1], len(self.names)))
        for column, place in enumerate(self.places):
            sums[..., place] += values[..., column]
        return sums

    def data(self, table: np.ndarray) -> np.ndarray:
        """Return the data ``(N, n_feature)`` with NaN in the columns of groups."""
        dtype = table.dtype if table.dtype.kind == "f" else np.dtype(float)
        data = np.full((len(table), len(self.names)), np.nan, dtype)
        for column, place in enumerate(self.places):
            if self._is_alone[column]:
                data[:, place] = table[:, column]
        return data


def check_groups(groups: Groups) -> None:
    """Raise a TypeError unless groups are a dict of lists of names."""
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a dict, got {type(groups).__name__}")
    for title, members in groups.items():
        checked_names(f"groups[{title!r}]", members)


def _group_of_names(groups: Groups, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the group of each feature that is in one, marked as a group."""
    check_groups(groups)
    found: dict[str, tuple[str, str]] = {}
    for title, members in groups.items():
        checked = checked_names(f"groups[{title!r}]", members)
        if not checked:
            raise ValueError(f"groups[{title!r}] must hold at least one feature")
        for member in checked:
            if member not in names:
                raise ValueError(
                    f"groups[{title!r}] must hold names of features "
                    f"({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}), got "
                    f"{member!r}"
                )
            if member in found:
                raise ValueError(
                    f"groups must hold each feature once, got {member!r} twice"
                )
            found[member] = (str(title), "group")
    return found
