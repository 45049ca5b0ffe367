"""What ``explain`` returns: saliency, with all that is needed to read it."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Callable, ClassVar

import numpy as np

from saliency.checks import check_positive, checked_text

#: What the header of a file says, so that no other npz is taken for an explanation.
_FORMAT, _VERSION = "saliency.Explanation", 1
_OF_EXAMPLES = (
    "values", "errors", "data", "classes", "scores", "base_values", "lengths", "index",
)  # fmt: skip
#: How many rows and columns Jupyter shows.
_ROWS, _COLUMNS = 10, 12


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Saliency of N examples, with names, scores, and how it was computed.

    It is a sequence of examples: ``explanation[3]``, ``explanation[10:20]`` and
    ``explanation[mask]`` are explanations of these examples, always with an axis for
    them, and iterating gives one after the other.

    Args:
        values (numpy.ndarray): The mean over samples, ``(N,) + target shape`` without
            ``ch_axis``. NaN lies beyond the end of examples that are shorter.
        errors (numpy.ndarray or None): The standard deviation over samples, of the same
            shape; None where there is one sample. That of their mean is smaller,
            ``errors / sqrt(n_sample)``.
        data (numpy.ndarray or None): What the model was called with,
            ``(N,) + input shape``: the input that was explained, or the first one where
            saliency was read at a link. None where that is no array.
        feature_names (sequence of str or None): One for each column of ``values``,
            ``(N, n_feature)``.
        class_names (sequence of str or None): One for each class of the output.
        classes (numpy.ndarray or None): Which column of the output was explained of
            each example, ``(N,)``. None where that is a sum of several.
        scores (numpy.ndarray or None): The output that was explained of each example,
            f(x), ``(N,)``, in float64.
        base_values (numpy.ndarray or None): f(reference), ``(N,)``, in float64, where
            the method has a reference: the values of an example add up to
            ``scores - base_values``.
        lengths (numpy.ndarray or None): The true length of each example, ``(N,)``,
            where they differ.
        index (numpy.ndarray or None): What the rows of the data are called, ``(N,)``:
            the index of a DataFrame.
        calculator (str): The calculator with its settings.
        method (str): What was done with each sample: ``'raw'``, ``'abs'`` or
            ``'square'``.
        n_sample (int): Over how many samples the mean was taken.

    Raises:
        TypeError: If an argument is of a wrong kind.
        ValueError: If arrays have different numbers of examples, or there are not as
            many names as what they name.
    """

    values: np.ndarray
    errors: np.ndarray | None = None
    data: np.ndarray | None = None
    feature_names: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    classes: np.ndarray | None = None
    scores: np.ndarray | None = None
    base_values: np.ndarray | None = None
    lengths: np.ndarray | None = None
    index: np.ndarray | None = None
    calculator: str = ""
    method: str = "raw"
    n_sample: int = 1

    #: Draws an explanation; the package says what does, since what is explained knows
    #: nothing of pictures.
    drawn_by: ClassVar[Callable[..., Any]]

    def __post_init__(self) -> None:
        for name in _OF_EXAMPLES:
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, _checked_array(name, given))
        for name in ("feature_names", "class_names"):
            checked = checked_names(name, getattr(self, name))
            object.__setattr__(self, name, checked)
        if self.values.ndim == 0:
            raise ValueError("values must have an axis for the examples, got shape ()")
        self._check_shapes()
        check_names(self.values, self.classes, self.feature_names, self.class_names)
        checked_text("calculator", self.calculator)
        checked_text("method", self.method)
        check_positive("n_sample", self.n_sample)

    def _check_shapes(self) -> None:
        if self.errors is not None and self.errors.shape != self.values.shape:
            raise ValueError(
                f"errors must have the shape {self.values.shape} of values, got "
                f"{self.errors.shape}"
            )
        for name in _OF_EXAMPLES[2:]:
            array = getattr(self, name)
            if array is None:
                continue
            is_plain = name == "data" or array.ndim == 1
            if not is_plain or array.shape[:1] != (len(self),):
                raise ValueError(
                    f"{name} must have one row for each of the {len(self)} examples, "
                    f"got shape {array.shape}"
                )

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> Explanation:
        """Return the explanation of some examples.

        Args:
            key (int, slice, or array of bool or int): Which. An int gives an
                explanation of one example, whose arrays keep the axis of examples.

        Raises:
            IndexError: If there are no such examples.
        """
        if not isinstance(key, slice):
            key = np.asarray(key)
            key = key.astype(int) if key.size == 0 else key
        rows = np.atleast_1d(np.arange(len(self))[key])
        arrays = {name: getattr(self, name) for name in _OF_EXAMPLES}
        some = {k: a[rows] for k, a in arrays.items() if a is not None}
        return replace(self, **some)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        parts = [f"{len(self)} examples", f"values of shape {self.values.shape}"]
        if self.n_sample > 1:
            parts.append(f"means of {self.n_sample} samples")
        if self.method != "raw":
            parts.append(f"method={self.method!r}")
        return f"<Explanation: {', '.join(parts)}, by {self.calculator or 'unknown'}>"

    def _repr_html_(self) -> str:
        """Return what Jupyter shows: the first rows and columns, and what they are."""
        caption = f"<p>{html.escape(repr(self))}</p>"
        if self.values.ndim != 2:
            return caption
        names = self.names_of_features()
        titles = [*self._described(0), *names[:_COLUMNS]] if len(self) else names
        is_cut = len(names) > _COLUMNS
        rows = [
            [*self._described(i).values(), *(f"{v:.4g}" for v in row[:_COLUMNS])]
            for i, row in enumerate(self.values[:_ROWS])
        ]
        lines = [_html_row("th", [*titles, *["…"] * is_cut])]
        lines += [_html_row("td", [*row, *["…"] * is_cut]) for row in rows]
        if len(self) > _ROWS:
            lines.append(_html_row("td", [f"and {len(self) - _ROWS} more"]))
        return f"{caption}<table>{''.join(lines)}</table>"

    def _described(self, i: int) -> dict[str, str]:
        """Return what there is to say of an example, by title."""
        found = {"": str(i if self.index is None else self.index[i])}
        if self.classes is not None:
            found["class"] = self.name_of_class(int(self.classes[i]))
        for title, array in (("f(x)", self.scores), ("base value", self.base_values)):
            if array is not None:
                found[title] = f"{array[i]:.4g}"
        return found

    def names_of_features(self) -> list[str]:
        """Return the name of each column; its number where it has no name.

        Raises:
            ValueError: If values are not ``(N, n_feature)``.
        """
        n_feature = self._columns().shape[1]
        return list(self.feature_names or map(str, range(n_feature)))

    def name_of_class(self, index: int) -> str:
        """Return the name of a class; its number if it has no name."""
        return str(index) if self.class_names is None else self.class_names[index]

    def _columns(self) -> np.ndarray:
        """Return the values with an axis for features.

        Raises:
            ValueError: If they have another shape.
        """
        if self.values.ndim == 1:
            return self.values[:, None]
        if self.values.ndim != 2:
            raise ValueError(
                "values must have the shape (N, n_feature) to be a table, got "
                f"{self.values.shape}; pass ch_axis to explain, which sums over axes"
            )
        return self.values

    def _table(self) -> np.ndarray | None:
        """Return the data as values have it, ``(N, n_feature)``; None if it differs."""
        if self.data is None or self.data.shape != self.values.shape:
            return None
        return self.data.reshape(len(self), -1)

    def to_dataframe(self, tidy: bool = False) -> Any:
        """Return the values as a DataFrame of pandas.

        Args:
            tidy (bool): Whether there is a row for each example and feature, with the
                columns ``example``, ``feature``, ``value`` and, where they are known,
                ``error``, ``data``, ``class``, ``score`` and ``base_value``; instead
                of a row for each example with a column for each feature.

        Returns:
            pandas.DataFrame: Its index is that of the data, or with ``tidy`` the
            column ``example`` is.

        Raises:
            ImportError: If pandas is not installed.
            ValueError: If values are not ``(N, n_feature)``.
        """
        columns, names = self._columns(), self.names_of_features()
        pandas = _imported("pandas", "to_dataframe")
        index = np.arange(len(self)) if self.index is None else self.index
        if not tidy:
            return pandas.DataFrame(columns, index=index, columns=names)
        n_feature = len(names)
        table = {
            "example": np.repeat(index, n_feature),
            "feature": np.tile(np.array(names, object), len(self)),
            "value": columns.reshape(-1),
        }
        if self.errors is not None:
            table["error"] = self.errors.reshape(-1)
        data = self._table()
        if data is not None:
            table["data"] = data.reshape(-1)
        if self.classes is not None:
            named = [self.name_of_class(int(c)) for c in self.classes]
            table["class"] = np.repeat(np.array(named, object), n_feature)
        for name, array in (("score", self.scores), ("base_value", self.base_values)):
            if array is not None:
                table[name] = np.repeat(array, n_feature)
        return pandas.DataFrame(table)

    def to_shap(self) -> Any:
        """Return a ``shap.Explanation``, which the plots of shap draw.

        It has no base values where this one has none; ``shap.plots.waterfall`` and
        ``shap.plots.force`` need them.

        Raises:
            ImportError: If shap is not installed.
            ValueError: If values are not ``(N, n_feature)``.
        """
        columns, names = self._columns(), self.names_of_features()
        shap = _imported("shap", "to_shap")
        return shap.Explanation(
            columns,
            base_values=self.base_values,
            data=self._table(),
            feature_names=names,
        )

    def grouped(self, groups: Mapping[str, Iterable[str]]) -> Explanation:
        """Return the explanation with groups of features in the place of features.

        The value of a group is the sum of its features' values: that of a categorical
        feature which is encoded in several columns. It stands where the first of them
        stood. ``data`` is NaN there, since several columns are no one number, and there
        are no errors, since the spread of a sum depends on how its parts vary together.

        Args:
            groups (dict): The names of the features of each group, by its own name:
                ``{"colour": ["red", "green"]}``.

        Raises:
            TypeError: If a group is no list of names.
            ValueError: If values are not ``(N, n_feature)``; or a group is empty, a
                name unknown or in several groups, or two features would have one name.
        """
        columns, names = self._columns(), self.names_of_features()
        group_of = _group_of_names(groups, names)
        merged = list(dict.fromkeys(group_of.get(name, (name,)) for name in names))
        titles = [title[0] for title in merged]
        if len(set(titles)) < len(titles):
            twice = next(t for t in titles if titles.count(t) > 1)
            raise ValueError(
                f"groups: {twice!r} would be a group and a feature outside of it"
            )
        at = [merged.index(group_of.get(name, (name,))) for name in names]
        values = np.zeros((len(self), len(merged)))
        data, given = self.data, self._table()
        if given is not None:
            is_float = given.dtype.kind == "f"
            data = np.full(values.shape, np.nan, given.dtype if is_float else float)
        for column, (name, to) in enumerate(zip(names, at)):
            values[:, to] += columns[:, column]
            if given is not None and data is not None and name not in group_of:
                data[:, to] = given[:, column]
        return replace(
            self,
            values=values.astype(np.result_type(columns, np.float16)),
            errors=None,
            data=data,
            feature_names=titles,
        )

    def plot(self, kind: str | None = None, **arguments: Any) -> Any:
        """Draw the explanation.

        Args:
            kind (str or None): ``'bar'``, the values of one example, or the mean
                magnitudes of several; ``'beeswarm'``, a dot for each example and
                feature; ``'image'``, the map of one image, ``(h, w)`` or
                ``(ch, h, w)``. None decides by the shape of the values.
            arguments: Of the visualizer's method that draws: of
                :meth:`saliency.TableVisualizer.visualize`, of its
                ``visualize_summary``, or of :meth:`saliency.ImageVisualizer.visualize`;
                for example ``save_filepath``, ``ax`` and ``title``.

        Returns:
            matplotlib.figure.Figure: The figure.

        Raises:
            TypeError, ValueError: If ``kind`` is none of these or does not fit the
                values, or an argument is not one of the visualizer's.
        """
        return type(self).drawn_by(self, kind, **arguments)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the explanation into an npz file, which needs no pickle.

        Args:
            path (path): The file, which is replaced if it is there. The extension is
                ``.npz``, and is added if there is none.

        Raises:
            OSError: If it cannot be written.
            ValueError: If the extension is another one.
        """
        path = Path(fspath(path))
        if path.suffix not in ("", ".npz"):
            raise ValueError(f"path must end in .npz, got {str(path)!r}")
        arrays = {name: getattr(self, name) for name in _OF_EXAMPLES}
        others = [f.name for f in fields(self) if f.name not in arrays]
        header = {"format": _FORMAT, "version": _VERSION}
        header |= {name: getattr(self, name) for name in others}
        np.savez(
            path.with_suffix(".npz"),
            header=np.array(json.dumps(header)),
            **{name: array for name, array in arrays.items() if array is not None},
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Explanation:
        """Return the explanation that :meth:`save` wrote.

        Args:
            path (path): The file. It is read without pickle, so that it may come from
                anywhere.

        Raises:
            OSError: If there is no such file.
            ValueError: If it holds something else.
        """
        path = Path(fspath(path))
        problem = f"path: {str(path)!r} holds no explanation that this version reads"
        with path.open("rb") as file:
            try:
                with np.load(file, allow_pickle=False) as stored:
                    header = json.loads(str(stored["header"]))
                    if (
                        header.pop("format") != _FORMAT
                        or header.pop("version") != _VERSION
                    ):
                        raise ValueError(problem)
                    arrays = {name: stored[name] for name in stored if name != "header"}
                return cls(**arrays, **header)
            except (ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
                raise ValueError(problem) from error


def checked_names(name: str, given: Any) -> tuple[str, ...] | None:
    """Return names as texts.

    Raises:
        TypeError: If they are no list or array.
    """
    if given is None:
        return None
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a list or an array of names, got {given!r}")
    return tuple(map(str, given))


def check_names(
    values: np.ndarray,
    classes: np.ndarray | None,
    feature_names: Sequence[str] | None,
    class_names: Sequence[str] | None,
) -> None:
    """Raise a ValueError unless names fit what they name.

    Args:
        values (numpy.ndarray): ``(N, n_feature)``, or ``(N,)`` for one.
        classes (numpy.ndarray or None): The classes that are explained.
        feature_names (sequence of str or None): One for each feature.
        class_names (sequence of str or None): One for each class.
    """
    if feature_names is not None and not fit_features(values, feature_names):
        raise ValueError(
            f"feature_names must have one name for each feature of values of shape "
            f"{values.shape}, which is (N, n_feature), got {len(feature_names)}"
        )
    if class_names is None or classes is None or classes.size == 0:
        return
    if classes.max() >= len(class_names):
        raise ValueError(
            "class_names must have one name for each class of the output, but class "
            f"{classes.max()} is explained and there are {len(class_names)} names"
        )


def fit_features(values: np.ndarray, names: Sequence[str]) -> bool:
    """Tell whether there is one name for each column of values."""
    return values.ndim <= 2 and len(names) == (*values.shape[1:], 1)[0]


def _checked_array(name: str, given: Any) -> np.ndarray:
    array = np.asarray(given)
    if name == "index":
        is_text = array.dtype.kind == "O"
        return np.array(list(map(str, array)), str) if is_text else array
    kinds = {"classes": "iu", "lengths": "iu", "data": "fiub"}.get(name, "fiu")
    if array.dtype.kind not in kinds:
        what = "integers" if kinds == "iu" else "real numbers"
        raise TypeError(f"{name} must hold {what}, got an array of {array.dtype}")
    return array


def _group_of_names(
    groups: Mapping[str, Iterable[str]], names: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Return the group of each feature that is in one, marked as a group."""
    if not isinstance(groups, Mapping):
        raise TypeError(f"groups must be a dict, got {type(groups).__name__}")
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


def _imported(package: str, method: str) -> Any:
    """Return a package that is no dependency."""
    try:
        return __import__(package)
    except ImportError as error:
        raise ImportError(f"{method} needs {package}: pip install {package}") from error


def _html_row(tag: str, cells: Iterable[str]) -> str:
    inner = "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"
