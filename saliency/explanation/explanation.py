"""Saliency of examples, with names, scores, and how it was computed."""

from __future__ import annotations

import html
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike, fspath
from typing import Any, Callable, ClassVar
from zipfile import BadZipFile

import numpy as np

from saliency.checks import check_bool, check_positive, checked_text, is_int, narrowed
from saliency.digits import written_out
from saliency.explanation.files import read_file, write_file
from saliency.explanation.groups import GroupedColumns, Groups
from saliency.explanation.images import checked_images
from saliency.explanation.molecules import checked_molecules, mols_of, symbols_of
from saliency.explanation.names import (
    check_names,
    check_names_of_elements,
    checked_names,
    checked_names_of_elements,
    distinct_names,
    number_of_leading_axes,
    numbers_of_elements,
)
from saliency.explanation.packages import imported

_OF_EXAMPLES = (
    "values", "errors", "data", "classes", "scores", "base_values", "lengths", "index",
)  # fmt: skip
#: What there is for each example in a tuple.
_TUPLES_OF_EXAMPLES = ("element_names", "molecules", "images")
#: What is called by names, or is a text itself.
_NAMES = ("feature_names", "class_names", "element_names", "molecules")
#: How many rows and columns Jupyter shows, how many letters of a text, and how many of
#: the strongest elements.
_ROWS, _COLUMNS, _LETTERS, _STRONGEST = 10, 12, 60, 3


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Saliency of N examples, with names, scores, and how it was computed.

    It is a sequence of examples: ``explanation[3]``, ``explanation[10:20]`` and
    ``explanation[mask]`` are explanations of these examples, always with an axis for
    them, and iterating gives one after the other. ``explanation[:, "setosa"]`` and
    ``explanation[3, 2]`` pick a class as well, see :meth:`of_class`.

    Where several classes of each example were explained, values have an axis for them
    behind that of the examples, and so have ``errors``, ``classes``, ``scores`` and
    ``base_values``.

    Args:
        values (numpy.ndarray): The mean over samples, ``(N,) + target shape`` without
            ``ch_axis``, or ``(N, n_class) + target shape``. NaN lies beyond the end of
            examples that are shorter.
        errors (numpy.ndarray or None): The standard deviation of a sample, of the same
            shape; None where there is one sample. That of their mean is smaller,
            ``errors / sqrt(n_sample)``.
        data (numpy.ndarray or None): What the model was called with,
            ``(N,) + input shape``: the input that was explained, or the first one where
            saliency was read at a link. None where that is no array.
        feature_names (sequence of str or None): One for each column of ``values``,
            ``(N, n_feature)``.
        class_names (sequence of str or None): One for each class of the output.
        classes (numpy.ndarray or None): Which column of the output was explained of
            each example, ``(N,)``; or the columns, ``(N, n_class)``, which says that
            there is an axis of classes. None where that is a sum of several.
        scores (numpy.ndarray or None): The output that was explained of each example,
            f(x), ``(N,)``, in float64; with an axis of classes ``(N, n_class)``. None
            where no score was explained, but a relevance that was given.
        base_values (numpy.ndarray or None): f(reference), of the shape of ``scores``,
            in float64, where the method has a reference: the values of an example add
            up to ``scores - base_values``.
        lengths (numpy.ndarray or None): The true length of each example, ``(N,)``,
            where they differ.
        index (numpy.ndarray or None): What the rows of the data are called, ``(N,)``:
            the index of a DataFrame.
        calculator (str): The calculator with its settings.
        method (str): What was done with each sample: ``'raw'``, ``'abs'`` or
            ``'square'``.
        n_sample (int): Over how many samples the mean was taken.
        element_names (sequence of sequence of str or None): For each example the names
            of its elements, which lie along the first axis of its values: the tokens
            of a text. By default, the symbols of the atoms if there are molecules.
        molecules (sequence or None): The molecule of each example, whose atoms the
            values are about: SMILES, or molecules of RDKit. What is kept are texts, so
            that a file can hold them; :meth:`to_mols` returns RDKit's objects.
        images (sequence or None): The photograph of each example, over which maps are
            drawn: images of PIL, or arrays of uint8 or of floats in [0, 1]. What is
            kept are arrays.
        settings (str): How the samples were computed, as arguments of ``explain``, such
            as ``'M=30, train=True, seed=0'``; empty where all are the defaults.
        at_link (bool): Whether the values were read at a link within the model: they
            are of its units then, and columns of a table as ``data`` are not their
            features.

    Raises:
        ImportError: If there are molecules without ``element_names``, and no RDKit.
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
    element_names: Sequence[Sequence[str]] | None = None
    molecules: Sequence[str] | None = None
    images: Sequence[np.ndarray] | None = None
    settings: str = ""
    at_link: bool = False

    #: Draws an explanation; the package says what does, since what is explained knows
    #: nothing of pictures.
    drawn_by: ClassVar[Callable[..., Any]]
    #: Makes a page of an explanation, likewise.
    reported_by: ClassVar[Callable[..., Any]]

    def __post_init__(self) -> None:
        for name in _OF_EXAMPLES:
            given = getattr(self, name)
            if given is not None:
                self._set(name, _checked_array(name, given))
        for name in ("feature_names", "class_names"):
            self._set(name, checked_names(name, getattr(self, name)))
        self._set("element_names", checked_names_of_elements(self.element_names))
        self._set("molecules", checked_molecules(self.molecules))
        self._set("images", checked_images(self.images))
        are_atoms = self.molecules is not None and self.element_names is None
        if self.molecules is not None and are_atoms:
            self._set("element_names", symbols_of(self.molecules))
        if self.values.ndim == 0:
            raise ValueError("values must have an axis for the examples, got shape ()")
        self._check_shapes()
        check_names(self.values, self.classes, self.feature_names, self.class_names)
        if self.element_names is not None:
            names = self.element_names
            check_names_of_elements(self.values, names, self._n_lead, 0, are_atoms)
        checked_text("calculator", self.calculator)
        checked_text("method", self.method)
        checked_text("settings", self.settings)
        check_bool("at_link", self.at_link)
        check_positive("n_sample", self.n_sample)
        # Those of NumPy have no place in JSON.
        self._set("n_sample", int(self.n_sample))
        self._set("at_link", bool(self.at_link))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_shapes(self) -> None:
        shape = self.values.shape
        if self.errors is not None and self.errors.shape != shape:
            raise ValueError(
                f"errors must have the shape {shape} of values, got {self.errors.shape}"
            )
        classes = self.classes
        if classes is not None and not (
            classes.shape == shape[:1] or classes.shape == shape[:2] != shape[:1]
        ):
            raise ValueError(
                f"classes must have one row for each of the {len(self)} examples, "
                f"(N,), or the shape (N, n_class) of the first axes of values, got "
                f"{classes.shape} for values of shape {shape}"
            )
        for name in ("data", "scores", "base_values", "lengths", "index"):
            array = getattr(self, name)
            if array is None:
                continue
            expected: tuple[int, ...] = shape[:1]
            if name in ("scores", "base_values"):
                expected = shape[: self._n_lead]
            is_plain = name == "data" or array.ndim == len(expected)
            if not is_plain or array.shape[: len(expected)] != expected:
                what = f"each of the {len(self)} examples"
                if len(expected) > 1:
                    what += f" and a column for each of the {expected[1]} classes"
                raise ValueError(
                    f"{name} must have one row for {what}, got shape {array.shape}"
                )
        for name in _TUPLES_OF_EXAMPLES:
            given = getattr(self, name)
            if given is not None and len(given) != len(self):
                raise ValueError(
                    f"{name} must hold one for each of the {len(self)} examples, got "
                    f"{len(given)}"
                )

    @property
    def has_class_axis(self) -> bool:
        """Whether several classes of each example were explained, along axis 1."""
        return self._n_lead == 2

    @property
    def _n_lead(self) -> int:
        return number_of_leading_axes(self.classes)

    @property
    def _is_of_elements(self) -> bool:
        """Whether examples have elements of their own rather than features."""
        return self.element_names is not None or self.lengths is not None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> Explanation:
        """Return the explanation of some examples, or of some of their classes.

        Args:
            key (int, slice, or array of bool or int): Which. An int gives an
                explanation of one example, whose arrays keep the axis of examples.
                Or a tuple of this and a class, its name or number, as in
                :meth:`of_class`; or a list of classes, which keeps their axis.

        Raises:
            IndexError: If there are no such examples or classes.
        """
        if not isinstance(key, tuple):
            return self._at(key)
        if len(key) != 2:
            raise IndexError(
                f"an explanation is indexed by examples and a class, got {len(key)} "
                "indices; pass a list for several examples"
            )
        some, which = self._at(key[0]), key[1]
        try:
            if isinstance(which, slice) and which == slice(None):
                return some
            if isinstance(which, (list, np.ndarray)) and np.ndim(which) == 1:
                return some._of_classes(which)
            return some.of_class(which)
        except (TypeError, ValueError) as error:
            raise IndexError(str(error)) from error

    def _at(self, key: Any) -> Explanation:
        """Return the explanation of some examples."""
        if not isinstance(key, slice):
            given, key = key, np.asarray(key)
            key = key.astype(int) if key.size == 0 else key
            is_index = key.ndim == 1 or (key.ndim == 0 and key.dtype.kind != "b")
            if key.dtype.kind not in "biu" or not is_index:
                raise IndexError(
                    "examples are an int, a slice, or an array of ints or bools, and "
                    "a class comes behind them, as in explanation[3, 'cat'] or "
                    f"explanation[:, 'cat']; got {given!r}"
                )
        rows = np.atleast_1d(np.arange(len(self))[key])
        some: dict[str, Any] = {}
        for name in _OF_EXAMPLES:
            array = getattr(self, name)
            some[name] = None if array is None else array[rows]
        for name in _TUPLES_OF_EXAMPLES:
            given = getattr(self, name)
            some[name] = None if given is None else [given[i] for i in rows]
        return replace(self, **some)

    def __iter__(self) -> Iterator[Explanation]:
        return (self[i] for i in range(len(self)))

    def of_class(self, which: int | str) -> Explanation:
        """Return the explanation of one class.

        Where several classes of each example were explained, it is that of this one,
        without their axis. Where one was, as with ``class_index='argmax'``, it is that
        of the examples whose class it is; there may be none.

        Args:
            which (int or str): The number of the class, or its name.

        Raises:
            TypeError: If it is neither.
            ValueError: If there is no such class, or what was explained is a sum.
        """
        number = self._number_of_class(which)
        assert self.classes is not None  # or there would be no number
        if not self.has_class_axis:
            return self._at(np.flatnonzero(self.classes == number))
        has_it = (self.classes == number).any(axis=1)
        if len(self) and not has_it.any():
            raise ValueError(
                f"class {which!r} was not explained; what was is "
                f"{', '.join(map(self.name_of_class, np.unique(self.classes)))}"
            )
        some = self._at(np.flatnonzero(has_it))
        assert some.classes is not None
        columns = (some.classes == number).argmax(axis=1)
        return some._with_columns(columns)

    def _of_classes(self, which: Iterable[int | str]) -> Explanation:
        """Return the explanation of some of several classes, with their axis."""
        if not self.has_class_axis:
            raise ValueError(
                "one class of each example was explained, so that there is no axis of "
                "classes; pass one class"
            )
        numbers = [self._number_of_class(_plain(one)) for one in which]
        assert self.classes is not None
        found = self.classes[:, :, None] == np.array(numbers, int)
        if not found.any(axis=1).all():
            raise ValueError(f"classes {list(which)!r} were not all explained")
        return self._with_columns(found.argmax(axis=1))

    def _with_columns(self, columns: np.ndarray) -> Explanation:
        """Return one column of the axis of classes for each example, or several.

        Args:
            columns (numpy.ndarray): ``(N,)``, or ``(N, n)`` to keep the axis.
        """
        rows = np.arange(len(self)).reshape((-1,) + (1,) * (columns.ndim - 1))
        of_classes = ("values", "errors", "classes", "scores", "base_values")
        arrays = {name: getattr(self, name) for name in of_classes}
        picked = {k: a[rows, columns] for k, a in arrays.items() if a is not None}
        return replace(self, **picked)

    def _number_of_class(self, which: int | str) -> int:
        """Return the number of a class."""
        if self.classes is None:
            raise ValueError("what was explained is no class, but a sum of several")
        names = self.class_names
        if isinstance(which, str):
            if names is None or which not in names:
                known = "none has a name" if names is None else ", ".join(names)
                raise ValueError(f"there is no class {which!r}; classes are: {known}")
            if list(names).count(which) > 1:
                raise ValueError(f"several classes are called {which!r}; pass a number")
            return list(names).index(which)
        if not is_int(which):
            raise TypeError(f"a class is an int or a str, its name; got {which!r}")
        if which < 0 or (names is not None and which >= len(names)):
            last = "" if names is None else str(len(names) - 1)
            raise ValueError(f"classes are numbered 0..{last}, got {which}")
        return int(which)

    @classmethod
    def of_classes(cls, explanations: Iterable[Explanation]) -> Explanation:
        """Return explanations of the same examples as one, with an axis of classes.

        For methods that explain one class at a time:
        ``Explanation.of_classes(GradientCalculator(model, class_index=c).explain(x)
        for c in range(3))``.

        Args:
            explanations (iterable of Explanation): One for each class.

        Returns:
            Explanation: With the names and the data of the first. ``calculator`` is
            that of the first, too; its ``class_index`` is that of one class.

        Raises:
            TypeError: If they are none.
            ValueError: If there are none, or they differ in their shapes, method or
                number of samples, or in the data, the molecules or the names of
                examples, features or elements, or one has an axis of classes or
                explains a sum.

        Example:
            >>> import numpy as np
            >>> one_by_one = [
            ...     Explanation(np.ones((5, 4)) * c, classes=np.full(5, c))
            ...     for c in range(3)
            ... ]
            >>> Explanation.of_classes(one_by_one).values.shape
            (5, 3, 4)
        """
        parts = list(explanations)
        if not parts:
            raise ValueError("explanations must hold at least one, got none")
        for part in parts:
            if not isinstance(part, Explanation):
                raise TypeError(f"explanations must be Explanations, got {part!r}")
            if part.classes is None or part.has_class_axis:
                raise ValueError(
                    "each of the explanations must be of one class for each example, "
                    f"got {part!r}"
                )
            about = part.values.shape, part.method, part.n_sample
            first = parts[0].values.shape, parts[0].method, parts[0].n_sample
            if about != first:
                raise ValueError(
                    "explanations must agree in the shape of their values, in method "
                    f"and n_sample, got {first} and {about}"
                )
            for name in ("data", "index", "lengths", *_NAMES):
                _check_same(name, getattr(parts[0], name), getattr(part, name))
        stacked: dict[str, Any] = {}
        for name in ("values", "errors", "classes", "scores", "base_values"):
            arrays = [getattr(part, name) for part in parts]
            has_all = all(array is not None for array in arrays)
            stacked[name] = np.stack(arrays, axis=1) if has_all else None
        return replace(parts[0], **stacked)

    def __repr__(self) -> str:
        parts = [f"{len(self)} examples"]
        if self.has_class_axis:
            parts.append(f"{self.values.shape[1]} classes")
        parts.append(f"values of shape {self.values.shape}")
        if self.n_sample > 1:
            parts.append(f"means of {self.n_sample} samples")
        if self.method != "raw":
            parts.append(f"method={self.method!r}")
        return f"<Explanation: {', '.join(parts)}, by {self.calculator or 'unknown'}>"

    def _repr_html_(self) -> str:
        """Return what Jupyter shows: the first rows and columns, and what they are."""
        n_class = self.values.shape[1] if self.has_class_axis else 1
        rows = [
            [*self._described(i, c), *self._shown(i, c)]
            for i in range(min(len(self), _ROWS))
            for c in range(n_class)
        ][:_ROWS]
        n_more = len(self) * n_class - len(rows)
        lines = [_html_row("th", [title for title, _ in row]) for row in rows[:1]]
        lines += [_html_row("td", [cell for _, cell in row]) for row in rows]
        if n_more:
            lines.append(_html_row("td", [f"and {n_more} more"]))
        table = f"<table>{''.join(lines)}</table>" if lines else ""
        return f"<p>{html.escape(repr(self))}</p>{table}"

    def _described(self, i: int, c: int) -> list[tuple[str, str]]:
        """Return what there is to say of an example and a class, with titles."""
        at = (i, c) if self.has_class_axis else i
        found = [("", str(i if self.index is None else self.index[i]))]
        if self.classes is not None:
            found.append(("class", self.name_of_class(int(self.classes[at]))))
        for title, array in (("f(x)", self.scores), ("base value", self.base_values)):
            if array is not None:
                found.append((title, _written(array[at])))
        return found

    def _shown(self, i: int, c: int) -> list[tuple[str, str]]:
        """Return what is shown of the values of an example and a class, with titles."""
        values = self.values[(i, c) if self.has_class_axis else i]
        if values.ndim > 1:
            ends = np.fmin.reduce(values, None), np.fmax.reduce(values, None)
            titles = "shape", "lowest", "highest"
            return list(zip(titles, [str(values.shape), *map(_written, ends)]))
        if not self._is_of_elements:
            names = self.names_of_features()
            cells = list(map(_written, np.atleast_1d(values)[:_COLUMNS]))
            return [*zip(names, cells), *[("…", "…")] * (len(names) > _COLUMNS)]
        named = self.element_names
        names = list(map(str, range(len(values)))) if named is None else list(named[i])
        order = np.argsort(-np.abs(values[~np.isnan(values)]), kind="stable")
        strongest = [f"{names[k]} {_written(values[k], 3)}" for k in order[:_STRONGEST]]
        text = "" if named is None else " ".join(names)
        if self.molecules is not None and not self.molecules[i].startswith("{"):
            text = self.molecules[i]
        short = text[:_LETTERS] + "…" * (len(text) > _LETTERS)
        return [("example", short), ("strongest", ", ".join(strongest))]

    def names_of_features(self) -> list[str]:
        """Return the name of each column; its number where it has no name.

        Raises:
            ValueError: If values are not ``(N, n_feature)``, or with an axis of classes
                ``(N, n_class, n_feature)``.
        """
        n_feature = self._columns().shape[-1]
        return list(self.feature_names or map(str, range(n_feature)))

    def name_of_class(self, index: int) -> str:
        """Return the name of a class; its number if it has no name."""
        return str(index) if self.class_names is None else self.class_names[index]

    def _columns(self) -> np.ndarray:
        """Return the values with an axis for features.

        Raises:
            ValueError: If they have another shape.
        """
        if self.values.ndim == self._n_lead:
            return self.values[..., None]
        if self.values.ndim != self._n_lead + 1:
            of_classes = ", n_class" * self.has_class_axis
            raise ValueError(
                f"values must have the shape (N{of_classes}, n_feature) to be a table, "
                f"got {self.values.shape}; pass ch_axis to explain, which sums up"
            )
        return self.values

    def data_of_features(self) -> np.ndarray | None:
        """Return the data that the values are of, ``(N, n_feature)``.

        Returns:
            numpy.ndarray or None: None where the data has another shape, or is a table
            of floats and the values are of the units of a link.

        Raises:
            ValueError: If values are not ``(N, n_feature)``, or with an axis of classes
                ``(N, n_class, n_feature)``.
        """
        columns = self._columns()
        shape = (len(self), columns.shape[-1])
        if self.data is None or self.data.size != shape[0] * shape[1]:
            return None
        if self.at_link and self.data.dtype.kind == "f":
            return None  # numbers of tokens or atoms are embedded, and have their place
        if self.data.shape not in (shape, shape[:1]):
            return None
        return self.data.reshape(shape)

    def to_dataframe(self, tidy: bool = False) -> Any:
        """Return the values as a DataFrame of pandas.

        Args:
            tidy (bool): Whether there is a row for each value, with the columns
                ``example``, ``feature`` (or ``element``, its position, and ``name``
                where examples have elements of their own, such as tokens or atoms),
                ``value`` and, where they are known, ``error``, ``data``, ``class``,
                ``score`` and ``base_value``; instead of a row for each example, or for
                each example and class, with a column for each feature.

        Returns:
            pandas.DataFrame: Its index is that of the data, or with ``tidy`` the
            column ``example`` is. With an axis of classes the index has a level for
            them. What lies beyond the end of an example is NaN, and has no row with
            ``tidy``. Of several classes with one name, all but the first have their
            number before it.

        Raises:
            ImportError: If pandas is not installed.
            ValueError: If values are not ``(N, n_feature)``, or with an axis of classes
                ``(N, n_class, n_feature)``.
        """
        columns, names = self._columns(), self.names_of_features()
        pandas = imported("pandas", "to_dataframe")
        if tidy:
            return pandas.DataFrame(self._tidy(columns, names))
        index: Any = np.arange(len(self)) if self.index is None else self.index
        if self.has_class_axis:
            of_rows = np.repeat(index, columns.shape[1]), self._named_classes().ravel()
            index = pandas.MultiIndex.from_arrays(of_rows, names=["example", "class"])
        rows = columns.reshape(-1, len(names))
        return pandas.DataFrame(rows, index=index, columns=names)

    def _tidy(self, columns: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
        """Return a column for each kind of thing that is known of a value."""

        def spread(of_rows: np.ndarray, n_axis: int = 1) -> np.ndarray:
            """Return for each value what its example, or example and class, has."""
            lacking = (1,) * (columns.ndim - n_axis)
            return np.broadcast_to(
                of_rows.reshape(of_rows.shape[:n_axis] + lacking), columns.shape
            )

        table = {
            "example": spread(
                np.arange(len(self)) if self.index is None else self.index
            )
        }
        is_of_elements = self._is_of_elements
        if is_of_elements:
            positions = np.arange(len(names))
            table["element"] = np.broadcast_to(positions, columns.shape)
        else:
            of_features = np.array(names, object)
            table["feature"] = np.broadcast_to(of_features, columns.shape)
        if self.element_names is not None:
            of_elements = np.full((len(self), len(names)), "", object)
            for i, of_example in enumerate(self.element_names):
                of_elements[i, : len(of_example)] = of_example
            table["name"] = self._for_each_class(of_elements, columns)
        table["value"] = columns
        if self.errors is not None:
            table["error"] = self.errors.reshape(columns.shape)
        data = self.data_of_features()
        if data is not None:
            table["data"] = self._for_each_class(data, columns)
        if self.classes is not None:
            table["class"] = spread(self._named_classes(), self._n_lead)
        for name, array in (("score", self.scores), ("base_value", self.base_values)):
            if array is not None:
                table[name] = spread(array, self._n_lead)
        kept = ~np.isnan(columns) if is_of_elements else np.full(columns.shape, True)
        return {name: array[kept] for name, array in table.items()}

    def _for_each_class(self, table: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return ``(N, n_feature)`` in the shape of columns."""
        of_classes = table[:, None] if self.has_class_axis else table
        return np.broadcast_to(of_classes, columns.shape)

    def _named_classes(self) -> np.ndarray:
        """Return the names of the classes that were explained, as ``classes`` are."""
        assert self.classes is not None  # whoever asks has looked
        numbers = np.unique(self.classes).tolist()
        names = distinct_names({n: self.name_of_class(n) for n in numbers})
        named = np.empty(self.classes.shape, object)
        for place, number in np.ndenumerate(self.classes):
            named[place] = names[int(number)]
        return named

    def to_shap(self) -> Any:
        """Return a ``shap.Explanation``, which the plots of shap draw.

        An axis of classes comes last, as shap has it, ``(N, n_feature, n_class)``, and
        ``to_shap()[:, :, "setosa"]`` picks one. It has no base values where this one
        has none; ``shap.plots.waterfall`` and ``shap.plots.force`` need them.

        Raises:
            ImportError: If shap is not installed.
            ValueError: If values are not ``(N, n_feature)``, or with an axis of classes
                ``(N, n_class, n_feature)``; or the classes differ from example to
                example.
        """
        columns, names = self._columns(), self.names_of_features()
        shap = imported("shap", "to_shap")
        errors = None if self.errors is None else self.errors.reshape(columns.shape)
        of_classes: dict[str, Any] = {}
        if self.has_class_axis:
            named = self._named_classes()
            if len(named) and (named != named[0]).any():
                raise ValueError("to_shap needs the same classes of all examples")
            of_classes["output_names"] = named[0].tolist() if len(named) else None
            columns = np.moveaxis(columns, 1, -1)
            errors = None if errors is None else np.moveaxis(errors, 1, -1)
        return shap.Explanation(
            columns,
            base_values=self.base_values,
            data=self.data_of_features(),
            feature_names=names,
            error_std=errors,
            **of_classes,
        )

    def to_mols(self) -> list[Any]:
        """Return the molecules as objects of RDKit, with all atoms in their order.

        Raises:
            ImportError: If RDKit is not installed.
            ValueError: If there are no molecules, or RDKit cannot read one.
        """
        if self.molecules is None:
            raise ValueError("there are no molecules; pass molecules to explain")
        return mols_of(self.molecules)

    def numbers_of_elements(self) -> list[int]:
        """Return how many elements each example has, without what is padded.

        Raises:
            ValueError: If values have no axis for them.
        """
        if self.values.ndim == self._n_lead:
            raise ValueError(
                f"values of shape {self.values.shape} have no axis of elements"
            )
        return numbers_of_elements(self.values, self._n_lead)

    def grouped(self, groups: Groups) -> Explanation:
        """Return the explanation with groups of features in the place of features.

        The value of a group is the sum of its features' values: that of a categorical
        feature which is encoded in several columns. It stands where the first of them
        stood. ``data`` is NaN there, since several columns are no one number, and there
        are no errors, since the spread of a sum depends on how its parts vary together:
        pass ``groups`` to ``explain`` to have them.

        Args:
            groups (dict): The names of the features of each group, by its own name:
                ``{"colour": ["red", "green"]}``.

        Raises:
            TypeError: If a group is no list of names.
            ValueError: If values are not ``(N, n_feature)``; or a group is empty, a
                name unknown or in several groups, or two features would have one name.
        """
        columns = self._columns()
        grouped = GroupedColumns(groups, self.names_of_features())
        dtype = np.result_type(columns, np.float16)
        given = self.data_of_features()
        return replace(
            self,
            values=narrowed(grouped.sums(columns), dtype, "a group's value"),
            errors=None,
            data=self.data if given is None else grouped.data(given),
            feature_names=grouped.names,
        )

    def plot(
        self, kind: str | None = None, visualizer: Any = None, **arguments: Any
    ) -> Any:
        """Draw the explanation.

        Args:
            kind (str or None): None decides by what there is. Of tables it is

                * ``'bar'``, the values of one example, or the mean magnitudes of
                  several with their 95 % intervals (``magnitudes=False``: the means);
                * ``'beeswarm'``, a dot for each example and feature;
                * ``'dependence'``, scores against the values of one ``feature``;
                * ``'heatmap'``, every score as a colour, with f(x) above;
                * ``'decision'``, a path from the base value to f(x) for each example;
                * ``'waterfall'``, that of one example. These two need values that add
                  up to f(x);
                * ``'interactions'``, the matrix of one example of a method for pairs of
                  features, or the mean magnitudes of several.

                Where several classes were explained, each has a panel. ``'image'``
                draws maps over their images, ``'text'`` the tokens in
                ``element_names``, and ``'molecule'`` molecules: several of them in a
                grid, with the first 20 of more than 50; where several classes were
                explained, each has a column or a line.
            visualizer (BaseVisualizer or None): What draws it, such as a subclass of
                your own; its domain then decides on the kind. By default it is the
                visualizer of the kind.
            arguments: Of the visualizer's method that draws: of
                :meth:`saliency.TableVisualizer.visualize`, ``visualize_mean``,
                ``visualize_summary`` or the one with the name of the kind, or of the
                ``visualize`` or ``visualize_grid`` of
                :class:`saliency.ImageVisualizer`, :class:`saliency.TextVisualizer` or
                :class:`saliency.MolVisualizer`; for example ``save_filepath``, ``ax``
                and ``title``. ``images``, ``tokens`` and ``mols`` take the place of
                what the explanation has.

        Returns:
            matplotlib.figure.Figure: The figure; of molecules the text of an SVG.

        Raises:
            ImportError: If molecules are drawn without RDKit.
            TypeError, ValueError: If ``kind`` is none of these or does not fit the
                values or the visualizer, an argument is not one of the visualizer's, or
                something is missing, such as the images of a grid.
        """
        return type(self).drawn_by(self, kind, visualizer, **arguments)

    def to_html(
        self,
        path: str | PathLike[str] | None = None,
        *,
        title: str | None = None,
        description: str | None = None,
    ) -> str | None:
        """Return the explanation as a page for the browser, or write it into a file.

        It is one file that needs no network: see :func:`saliency.write_report`, which
        also puts several methods side by side.

        Args:
            path (path or None): The file, which is replaced if it is there; ``.html``
                is added if there is no extension. None returns the page.
            title (str or None): The title of the page. By default, what was asked.
            description (str or None): What is to be said of the model and the data.

        Returns:
            str or None: The page in HTML; None if it was written into a file.

        Raises:
            ImportError: If there are molecules, and no RDKit.
            OSError: If the file cannot be written.
            TypeError, ValueError: As :func:`saliency.write_report`.
        """
        found: str | None = type(self).reported_by(
            self, path, title=title, description=description
        )
        return found

    def save(self, path: str | PathLike[str]) -> None:
        """Write the explanation into an npz file, which needs no pickle.

        Args:
            path (path): The file, which is replaced if it is there. The extension is
                ``.npz``, and is added if there is none.

        Raises:
            OSError: If it cannot be written.
            ValueError: If the extension is another one.
        """
        arrays = {name: getattr(self, name) for name in _OF_EXAMPLES}
        names = [f.name for f in fields(self) if f.name not in {*arrays, "images"}]
        write_file(
            path,
            {name: array for name, array in arrays.items() if array is not None},
            {name: getattr(self, name) for name in names},
            None if self.images is None else tuple(self.images),
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Explanation:
        """Return the explanation that :meth:`save` wrote, or that of an older version.

        Args:
            path (path): The file, without ``.npz`` if that was added. It is read
                without pickle, so that it may come from anywhere.

        Raises:
            OSError: If there is no such file.
            ValueError: If it holds something else.
        """
        wrong = (ValueError, KeyError, TypeError, AttributeError, EOFError)
        try:
            return cls(**read_file(path))
        except (*wrong, BadZipFile, zlib.error) as error:
            raise ValueError(
                f"path: {fspath(path)!r} holds no explanation that this version reads"
            ) from error


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


def _check_same(name: str, first: Any, other: Any) -> None:
    """Raise a ValueError if two explanations are not of the same examples."""
    if first is None or other is None or first is other:
        return
    if isinstance(first, tuple):  # texts, or tuples of them
        is_same = first == other
    else:
        are_floats = first.dtype.kind == other.dtype.kind == "f"
        is_same = np.array_equal(first, other, equal_nan=are_floats)
    if not is_same:
        raise ValueError(
            "explanations must be of the same examples and features in the same "
            f"order, but {name} differ from those of the first one"
        )


def _written(number: float, n_digit: int = 4) -> str:
    return written_out(number, n_digit)


def _html_row(tag: str, cells: Iterable[str]) -> str:
    inner = "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)
    return f"<tr>{inner}</tr>"


def _plain(value: Any) -> Any:
    """Return an element of an array as a str or an int of Python."""
    return value.item() if isinstance(value, np.generic) else value
