"""Pictures of saliency for molecules: a score for each atom, on the structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from saliency.checks import (
    check_callable,
    check_choice,
    check_number,
    check_positive,
    is_int,
    is_number,
)
from saliency.visualizer.base_visualizer import BaseVisualizer, write_picture
from saliency.visualizer.mol_canvas import (
    SvgPicture,
    encode,
    rd_chem,
    rd_mol_draw,
    with_title,
)
from saliency.visualizer.mol_sheet import MODES, Cell, ColorFn, Sheet
from saliency.visualizer.scalers import (
    abs_max_scaler,
    apply_scaler,
    as_real_array,
    checked_errors,
    diverging_cmap,
    uncertain,
)

Scaler = Callable[[np.ndarray], np.ndarray]

FORMATS = ("svg", "png", "pdf")
_SCALES = ("all", "row", "column", "separate")


def atom_color(x: float) -> tuple[float, float, float]:
    """Colour of one scaled score: that of `diverging_cmap`, but for its dark ends.

    So the letters of the atoms stay legible on it.

    Args:
        x: Score in [-1, 1]; values outside get the colour of the nearer end.

    Returns:
        Red, green and blue, each in [0, 1]; white at 0.
    """
    red, green, blue, _ = diverging_cmap(0.5 + 0.3 * float(np.clip(x, -1, 1)))
    return red, green, blue


class MolVisualizer(BaseVisualizer):
    """Draws saliency of molecules that are `rdkit.Chem.Mol`.

    `visualize` draws one molecule, `visualize_grid` several on a common scale, or each
    by several methods. Both return the text of an SVG, which Jupyter shows as the
    picture. The molecules are not changed.

    Example:
        >>> from rdkit import Chem
        >>> from saliency import MolVisualizer
        >>> aspirin = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
        >>> scores = [0.5, -0.2, -0.9, -0.4, 0, 1, 1, 1, 1, 0, -0.2, -0.9, -0.4]
        >>> svg = MolVisualizer().visualize(scores, aspirin, legend="aspirin")
    """

    def visualize(
        self,
        saliency: Any,
        mol: Any,
        save_filepath: str | PathLike[str] | None = None,
        visualize_ratio: float = 1.0,
        color_fn: ColorFn = atom_color,
        scaler: Scaler | None = abs_max_scaler,
        legend: str = "",
        *,
        errors: Any = None,
        mode: str = "highlight",
        limit: float | None = None,
        show_colorbar: bool = False,
        size: tuple[int, int] = (500, 375),
    ) -> SvgPicture:
        """Draw one molecule.

        A bond between two atoms that are coloured has the colour of the mean of their
        scores.

        Args:
            saliency: Scores of the atoms in the molecule's order, ``(n_atom,)``, real
                and finite. NaN behind the last atom is padding, and cut off.
            mol: The molecule. One without 2D coordinates gets some in the picture.
            save_filepath: File to write: ``.svg``, ``.png`` or ``.pdf``. Default:
                nothing is saved.
            visualize_ratio: Which share of the atoms is coloured, in [0, 1]: those
                with the largest magnitudes, as many as the share rounded to a whole
                number is; the first ones where magnitudes are equal.
            color_fn: Maps a score, divided by ``limit``, to red, green and blue.
            scaler: Callable that maps the scores to those drawn, and is given those of
                the atoms alone; None draws them as they are.
            legend: Text below the molecule.
            errors: How far each score may be off, ``(n_atom,)``, in the units of
                ``saliency``, for example the standard deviation over samples. Atoms
                whose score is not further from 0 than that are grey.
            mode: ``'highlight'`` colours the atoms and bonds, ``'contour'`` the plane,
                by a bell around each atom as high as its score.
            limit: The score, as drawn, of the strongest colours. Default: the largest
                magnitude.
            show_colorbar: Whether to draw a colour bar.
            size: Width and height for the molecule in pixels, 100 to an inch.

        Returns:
            The SVG, a str.

        Raises:
            ImportError: RDKit is not installed, or can not draw on this system.
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` can not be written
                there.
            TypeError: An argument has the wrong type.
        """
        path = self._checked_path(save_filepath, FORMATS)
        if limit is not None and not (is_number(limit) and 0 < limit < np.inf):
            raise ValueError(f"limit must be a number > 0 or None, got {limit!r}")
        cell = _cell(saliency, mol, visualize_ratio, scaler, legend, errors)
        cell = cell._replace(limit=limit or _limit([cell]))
        bars = "separate" if show_colorbar else None
        sheet = _sheet([[cell]], color_fn, mode, bars, size)
        return _finish(sheet, path)

    def visualize_grid(
        self,
        saliency: Mapping[str, Sequence[Any]] | Sequence[Any],
        mols: Sequence[Any],
        save_filepath: str | PathLike[str] | None = None,
        visualize_ratio: float = 1.0,
        color_fn: ColorFn = atom_color,
        scaler: Scaler | None = None,
        legends: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        *,
        errors: Mapping[str, Sequence[Any]] | Sequence[Any] | None = None,
        mode: str = "highlight",
        scale: str = "all",
        percentile: float = 100.0,
        title: str = "",
        row_titles: Sequence[str] | None = None,
        n_column: int = 4,
        show_colorbar: bool = False,
        size: tuple[int, int] = (250, 200),
    ) -> SvgPicture:
        """Draw several molecules, or each of them by several methods.

        Args:
            saliency: The scores of each molecule, as in `visualize`: a list of them, or
                a padded array. Or such a list for each method, by its name: then there
                is a row for each molecule and a column for each method.
            mols: The molecules.
            save_filepath: As in `visualize`.
            visualize_ratio: As in `visualize`.
            color_fn: As in `visualize`.
            scaler: As in `visualize`, for each molecule. On a common scale only scores
                as they are can be compared, so the default is None.
            legends: What stands below each molecule; by the names of methods where
                ``saliency`` is. A method may be left out.
            errors: As in `visualize`, for each molecule; by the names of methods where
                ``saliency`` is. A method may be left out.
            mode: As in `visualize`.
            scale: What has one scale of colours: ``'all'``, each molecule
                (``'row'``), each method (``'column'``), or each cell of the grid
                (``'separate'``).
            percentile: The strongest colours are for this percentile of the magnitudes
                on a scale, and for what is above.
            title: Title of the whole.
            row_titles: What stands before each row, where there is a row for each
                molecule.
            n_column: How many molecules a row has, where there is one method.
            show_colorbar: Whether to draw colour bars, one for each scale.
            size: Width and height for each molecule in pixels, 100 to an inch.

        Returns:
            The SVG, a str.

        Raises:
            ImportError: RDKit is not installed, or can not draw on this system.
            ValueError: As in `visualize`; or there are not as many scores, legends or
                titles as molecules.
            TypeError: An argument has the wrong type.
        """
        path = self._checked_path(save_filepath, FORMATS)
        check_choice("scale", scale, _SCALES)
        check_positive("n_column", n_column)
        check_number("percentile", percentile, 0, 100)
        mols = list(mols)
        if not mols:
            raise ValueError("mols is empty; there must be at least one molecule")
        names = _names_of_methods(saliency)
        if names is None and scale in ("row", "column"):
            raise ValueError(
                f"scale={scale!r} needs methods, saliency={{name: scores}}; with one "
                "method it is 'all' or 'separate'"
            )
        if names is None and row_titles is not None:
            raise ValueError(
                "row_titles need methods, saliency={name: scores}, with a row for each "
                "molecule; with one method pass legends"
            )
        cells = _cells(
            mols,
            _by_method("saliency", saliency, names, len(mols)),
            _by_method("errors", errors, names, len(mols)),
            _by_method("legends", legends, names, len(mols)),
            visualize_ratio,
            scaler,
        )
        rows = _with_limits(cells, scale, percentile)
        if names is None:
            flat = [cell for row in rows for cell in row]
            rows = [flat[i : i + n_column] for i in range(0, len(flat), n_column)]
        sheet = _sheet(rows, color_fn, mode, scale if show_colorbar else None, size)
        sheet = sheet._replace(
            title=_checked_text("title", title),
            column_titles=names or [],
            row_titles=_checked_titles(row_titles, len(mols)),
        )
        return _finish(sheet, path)


class SmilesVisualizer(MolVisualizer):
    """Draws saliency of molecules that are given as SMILES.

    The methods are those of `MolVisualizer`, with SMILES in the place of molecules.
    Scores are in the order in which the atoms stand in the SMILES.

    Example:
        >>> from saliency import SmilesVisualizer
        >>> svg = SmilesVisualizer().visualize([-0.1, 0.2, 0.9], "CCO")
    """

    def visualize(  # type: ignore[override]
        self,
        saliency: Any,
        smiles: str,
        save_filepath: str | PathLike[str] | None = None,
        visualize_ratio: float = 1.0,
        color_fn: ColorFn = atom_color,
        scaler: Scaler | None = abs_max_scaler,
        legend: str = "",
        add_Hs: bool = False,
        use_canonical_smiles: bool = False,
        **options: Any,
    ) -> SvgPicture:
        """Draw one molecule.

        Args:
            saliency: As in `MolVisualizer.visualize`.
            smiles: The molecule. RDKit leaves out hydrogens that are no more than
                that, as in ``[H]O[H]``; they have no score.
            save_filepath: As in `MolVisualizer.visualize`.
            visualize_ratio: As in `MolVisualizer.visualize`.
            color_fn: As in `MolVisualizer.visualize`.
            scaler: As in `MolVisualizer.visualize`.
            legend: As in `MolVisualizer.visualize`.
            add_Hs: Whether all hydrogens are atoms; their scores come last.
            use_canonical_smiles: Whether scores are in the order of RDKit's canonical
                SMILES instead, as those of Chainer Chemistry's preprocessors are.
            **options: The keywords of `MolVisualizer.visualize`.

        Returns:
            The SVG, a str.

        Raises:
            ImportError, TypeError: As in `MolVisualizer.visualize`.
            ValueError: As there, or RDKit can not read the SMILES.
        """
        mol = _from_smiles(smiles, add_Hs, use_canonical_smiles)
        return super().visualize(
            saliency,
            mol,
            save_filepath,
            visualize_ratio,
            color_fn,
            scaler,
            legend,
            **options,
        )

    def visualize_grid(  # type: ignore[override]
        self,
        saliency: Mapping[str, Sequence[Any]] | Sequence[Any],
        smiles: Sequence[str],
        *args: Any,
        add_Hs: bool = False,
        use_canonical_smiles: bool = False,
        **options: Any,
    ) -> SvgPicture:
        """Draw several molecules, or each of them by several methods.

        Args:
            saliency: As in `MolVisualizer.visualize_grid`.
            smiles: The molecules, as in `visualize`.
            *args: The other arguments of `MolVisualizer.visualize_grid`.
            add_Hs: As in `visualize`.
            use_canonical_smiles: As in `visualize`.
            **options: The keywords of `MolVisualizer.visualize_grid`.

        Returns:
            The SVG, a str.

        Raises:
            ImportError, TypeError: As in `MolVisualizer.visualize_grid`.
            ValueError: As there, or RDKit can not read one of the SMILES.
        """
        mols = [_from_smiles(one, add_Hs, use_canonical_smiles) for one in smiles]
        return super().visualize_grid(saliency, mols, *args, **options)


# --- checks -----------------------------------------------------------------------


def _from_smiles(smiles: str, add_hs: bool, canonical: bool) -> Any:
    chem = rd_chem()
    if not isinstance(smiles, str):
        raise TypeError(f"smiles must be a str, got {type(smiles).__name__}")
    mol = chem.MolFromSmiles(smiles)
    if mol is None:
        raise ValueError(f"smiles={smiles!r} can not be read by RDKit")
    if canonical:
        mol = chem.MolFromSmiles(chem.MolToSmiles(mol))
    return chem.AddHs(mol) if add_hs else mol


def _checked_scores(value: Any, n_atom: int, name: str) -> np.ndarray:
    """Return the scores of the atoms in float64, ``(n_atom,)``, without padding."""
    array = as_real_array(value, name)
    if array.ndim != 1:
        hint = f"; for one molecule pass {name}[0]" if array.ndim == 2 else ""
        raise ValueError(
            f"{name} must have the shape (n_atom,), got the shape {array.shape}{hint}"
        )
    atoms, rest = array[:n_atom], array[n_atom:]
    if len(atoms) < n_atom or not np.isnan(rest).all():
        raise ValueError(
            f"{name} must have a score for each of the molecule's {n_atom} atoms, and "
            f"behind them nothing but NaN, which is padding; got {len(array)} scores"
        )
    bad = np.flatnonzero(~np.isfinite(atoms))
    if len(bad):
        raise ValueError(
            f"{name} must be finite, got {atoms[bad[0]]} at atom {bad[0]}"
            + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        )
    return atoms.astype(np.float64)


def _checked_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    return value


def _checked_titles(row_titles: Sequence[str] | None, n: int) -> list[str]:
    if row_titles is None:
        return []
    return [
        _checked_text("row_titles", title)
        for title in _one_for_each_molecule("row_titles", row_titles, n)
    ]


def _one_for_each_molecule(name: str, values: Any, n: int) -> list[Any]:
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise TypeError(
            f"{name} must hold one for each molecule, got {type(values).__name__}"
        )
    if len(values) != n:
        raise ValueError(
            f"{name} must hold one for each of the {n} molecules, got {len(values)}"
        )
    return list(values)


def _names_of_methods(saliency: Any) -> list[str] | None:
    """Return the names of the methods; None where there is one without a name."""
    if not isinstance(saliency, Mapping):
        return None
    if not saliency:
        raise ValueError("saliency is empty; there must be at least one method")
    return [
        _checked_text("the name of a method in saliency", name) for name in saliency
    ]


def _by_method(name: str, value: Any, names: list[str] | None, n: int) -> list[Any]:
    """Return ``(label, what each molecule has)`` for each method; None if missing."""
    if value is None:
        return [(name, [None] * n) for _ in names or [""]]
    if names is None:
        if isinstance(value, Mapping):
            raise TypeError(f"{name} must be a list where saliency is, got a mapping")
        return [(name, _one_for_each_molecule(name, value, n))]
    if not isinstance(value, Mapping):
        raise TypeError(
            f"{name} must map the names of methods as saliency does, got "
            f"{type(value).__name__}"
        )
    unknown = [key for key in value if key not in names]
    if unknown:
        raise ValueError(
            f"{name} has {unknown[0]!r}, which is not among the methods of saliency: "
            f"{', '.join(map(repr, names))}"
        )
    labels = [f"{name}[{key!r}]" for key in names]
    return [
        (
            label,
            _one_for_each_molecule(label, value[key], n)
            if key in value
            else [None] * n,
        )
        for key, label in zip(names, labels)
    ]


# --- what is drawn ----------------------------------------------------------------


def _cells(
    mols: list[Any],
    saliency: list[Any],
    errors: list[Any],
    legends: list[Any],
    visualize_ratio: float,
    scaler: Scaler | None,
) -> list[list[Cell]]:
    """Return a row for each molecule, with a cell for each method."""
    return [
        [
            _cell(
                scores[i],
                mol,
                visualize_ratio,
                scaler,
                texts[i] or "",
                offs[i],
                f"{label}[{i}]",
                f"{off_label}[{i}]",
            )
            for (label, scores), (off_label, offs), (_, texts) in zip(
                saliency, errors, legends
            )
        ]
        for i, mol in enumerate(mols)
    ]


def _cell(
    saliency: Any,
    mol: Any,
    visualize_ratio: float,
    scaler: Scaler | None,
    legend: str,
    errors: Any,
    name: str = "saliency",
    errors_name: str = "errors",
) -> Cell:
    if not isinstance(mol, rd_chem().Mol):
        raise TypeError(
            f"mol must be an rdkit.Chem.Mol, got {type(mol).__name__}; for SMILES "
            "there is SmilesVisualizer"
        )
    n_atom = mol.GetNumAtoms()
    if n_atom == 0:
        raise ValueError("mol has no atoms")
    check_number("visualize_ratio", visualize_ratio, 0, 1)
    scores = _checked_scores(saliency, n_atom, name)
    if errors is not None:
        errors = _checked_scores(errors, n_atom, errors_name)  # without padding
    shown = np.zeros(n_atom, bool)
    n_shown = int(np.floor(visualize_ratio * n_atom + 0.5))
    shown[np.argsort(-np.abs(scores), kind="stable")[:n_shown]] = True
    return Cell(
        _ready(mol),
        apply_scaler(scores, scaler),
        shown,
        uncertain(scores, checked_errors(errors, scores, errors_name)),
        _checked_text("legend", legend),
    )


def _ready(mol: Any) -> Any:
    """Return a copy of a molecule with 2D coordinates, as chemists draw it."""
    copy = rd_chem().Mol(mol)
    if copy.GetNumConformers() and copy.GetConformer().Is3D():
        copy.RemoveAllConformers()
    return rd_mol_draw().PrepareMolForDrawing(copy)


def _limit(cells: Sequence[Cell], percentile: float = 100.0) -> float:
    """Return a percentile of the magnitudes; the largest if that is 0, 1 if all are."""
    sizes = np.abs(np.concatenate([cell.scores for cell in cells]))
    return float(np.percentile(sizes, percentile)) or float(sizes.max()) or 1.0


def _with_limits(
    rows: list[list[Cell]], scale: str, percentile: float
) -> list[list[Cell]]:
    """Return the cells with the limit of those that each has a scale in common with."""
    columns = list(zip(*rows))
    everything = [cell for row in rows for cell in row]

    def limit(i: int, j: int) -> float:
        of_scale: dict[str, Sequence[Cell]] = {
            "all": everything,
            "row": rows[i],
            "column": columns[j],
            "separate": [rows[i][j]],
        }
        return _limit(of_scale[scale], percentile)

    return [
        [cell._replace(limit=limit(i, j)) for j, cell in enumerate(row)]
        for i, row in enumerate(rows)
    ]


def _sheet(
    rows: list[list[Cell]],
    color_fn: ColorFn,
    mode: str,
    bars: str | None,
    size: tuple[int, int],
) -> Sheet:
    check_callable("color_fn", color_fn)
    check_choice("mode", mode, MODES)
    if not (np.shape(size) == (2,) and all(is_int(n) and n >= 50 for n in size)):
        raise ValueError(
            f"size must be a width and a height in pixels, each an int >= 50; got "
            f"{size!r}"
        )
    return Sheet(rows, color_fn, mode, bars, (int(size[0]), int(size[1])))


def _finish(sheet: Sheet, path: Path | None) -> SvgPicture:
    """Return the picture, saved if there is a path."""
    svg = encode(sheet.paint, sheet.size, sheet.panel, "svg")
    picture = with_title(svg.decode("ascii"), sheet.words)
    if path is not None:
        extension = path.suffix[1:].lower()
        content = picture.encode("ascii")
        if extension != "svg":
            content = encode(sheet.paint, sheet.size, sheet.panel, extension)
        write_picture(path, content)
    return picture
