"""Pictures of saliency for molecules: a score for each atom, on the structure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from saliency.array_types import Array
from saliency.checks import (
    Function,
    check_callable,
    check_choice,
    check_number,
    check_positive,
    checked_arguments,
    checked_text,
    is_int,
)
from saliency.user_warnings import warn_user
from saliency.visualizer.base_visualizer import BaseVisualizer
from saliency.visualizer.colors import atom_color as atom_color
from saliency.visualizer.colors import checked_limit, limit_of_colors
from saliency.visualizer.files import checked_path, write_file
from saliency.visualizer.grids import (
    SCALES,
    names_of_methods,
    one_for_each_row,
    with_limits,
)
from saliency.visualizer.molecules.canvas import DPI, SvgPicture
from saliency.visualizer.molecules.cells import (
    MODES,
    Cell,
    ColorFn,
    compute_cell,
    compute_cells,
    with_signs,
)
from saliency.visualizer.molecules.groups import Grouping
from saliency.visualizer.molecules.rdkit_modules import mol_of_smiles
from saliency.visualizer.molecules.sheet import Sheet
from saliency.visualizer.names import plain
from saliency.visualizer.scalers import Scaler, abs_max_scaler, unit_of
from saliency.visualizer.texts.pages import checked_key_labels

FORMATS = ("svg", "png", "pdf")


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

    __slots__ = ()

    @checked_arguments
    def visualize(
        self,
        saliency: Array,
        mol: Any,
        save_filepath: str | PathLike[str] | None = None,
        visualize_ratio: float = 1.0,
        color_fn: ColorFn | None = None,
        scaler: Scaler | None = abs_max_scaler,
        legend: str = "",
        raise_import_error: bool | None = None,
        *,
        errors: Array | None = None,
        mode: str = "highlight",
        limit: float | None = None,
        size: tuple[int, int] = (500, 375),
        show_colorbar: bool = False,
        show_key: bool = True,
        key_labels: tuple[str, str] | None = None,
        groups: Grouping | None = None,
        max_atoms: int = 300,
        ax: Axes | None = None,
    ) -> SvgPicture | Figure:
        """Draw one molecule.

        A bond between two atoms that are coloured has the colour of the weaker one, and
        is white where one speaks for the output and the other one against it.

        Args:
            saliency: Scores of the atoms in the molecule's order, ``(n_atom,)``, real
                and finite. NaN after the last atom is padding, which is cut off.
            mol: The molecule. One without 2D coordinates gets some in the picture.
            save_filepath: File to write: ``.svg``, ``.png`` or ``.pdf``. Default:
                nothing is saved.
            visualize_ratio: Which share of the atoms is coloured, in [0, 1]: those
                with the largest magnitudes, their number rounded; of equal
                magnitudes the first ones.
            color_fn: Maps a score, divided by ``limit``, to red, green and blue.
                Default: `atom_color`, red for positive and blue for negative scores;
                where no score is negative `magnitude_color`, purple.
            scaler: Callable that maps the scores to those drawn. It is given the scores
                without padding. None draws them unchanged.
            legend: Text below the molecule.
            raise_import_error: Taken for the sake of code written for Chainer
                Chemistry, and without effect, which a warning says: what is not
                installed always raises an ImportError.
            errors: How far each score may be off, ``(n_atom,)``, in the units of
                ``saliency``, for example the standard deviation over samples. Atoms
                whose score is no further from 0 than that are grey.
            mode: ``'highlight'`` colours the atoms and bonds, ``'contour'`` the plane,
                by a bell around each atom that is as high as its score. Where bonds
                are a few pixels long, bells are wider and lower: the colour is that of
                a chain's scores around there.
            limit: The score, as drawn, of the strongest colours. Default: the largest
                magnitude.
            size: Width and height for the molecule in pixels, 100 to an inch.
            show_colorbar: Whether the key has numbers, which say how large scores are.
            show_key: Whether to draw what the colours mean, below the molecule.
            key_labels: The two ends of that key, such as ``('lowers logP', 'raises
                logP')``. Default: ``('speaks against', 'speaks for')``, and where no
                score is negative ``('no influence', 'strong influence')``.
            groups: Divides the molecule into groups of atoms, such as
                `functional_groups`, `brics_fragments` or `ring_systems`: a callable
                that returns a list of `AtomGroup`. All atoms of a group have the colour
                of the sum of its scores, which is written beside it. Then
                ``visualize_ratio`` is a share of the groups.
            max_atoms: How many atoms are drawn of a larger molecule: the strongest and
                what is within two bonds of them, as pieces side by side, whose cut
                bonds end in ``*``. How many are left out is written below; colours are
                relative to the scores of all. -1 draws all, which takes minutes for
                thousands of atoms without 2D coordinates.
            ax: Axes of matplotlib to draw on, in the place of a picture of ``size``:
                the molecule and its texts are as large as these axes have room for now.

        Returns:
            The SVG, a str; with ``ax`` its figure.

        Raises:
            ImportError: RDKit is not installed, or cannot draw on this system.
            ValueError: An argument has the wrong shape, is not finite, or is not
                among the values allowed; or ``save_filepath`` cannot be written to.
            TypeError: An argument has the wrong type.
        """
        ax = self._checked_ax(ax)
        path = checked_path(save_filepath, FORMATS if ax is None else ())
        if raise_import_error is not None:
            warn_user(
                "raise_import_error has no effect: what is not installed always raises "
                "an ImportError, and no other package is needed for PNG. Leave it out"
            )
        limit = checked_limit(limit)
        _check_size(size)
        cell = compute_cell(
            *(saliency, mol, visualize_ratio, scaler, legend, errors, max_atoms, size),
            groups,
        )
        cell = cell._replace(limit=limit or limit_of_colors(cell.all_scores))
        bars = "all" if show_colorbar else None
        sheet = _sheet(
            *(with_signs([[cell]], by_column=False), color_fn, mode, bars, size),
            *(unit_of(scaler), show_key, key_labels),
        )
        if ax is None:
            return _draw(sheet.drawn(), path)
        _fitted(sheet, ax).drawn().painted().draw(ax)
        return self._finish(ax, path, None)

    @checked_arguments
    def visualize_grid(
        self,
        saliency: Mapping[str, Sequence[Array]] | Sequence[Array],
        mols: Sequence[Any],
        save_filepath: str | PathLike[str] | None = None,
        visualize_ratio: float = 1.0,
        color_fn: ColorFn | None = None,
        scaler: Scaler | None = None,
        legends: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        *,
        errors: Mapping[str, Sequence[Array]] | Sequence[Array] | None = None,
        mode: str = "highlight",
        scale: str = "all",
        percentile: float = 100.0,
        limit: float | None = None,
        row_titles: Sequence[str] | None = None,
        n_column: int = 4,
        size: tuple[int, int] = (250, 200),
        show_colorbar: bool = False,
        show_key: bool = True,
        key_labels: tuple[str, str] | None = None,
        title: str = "",
        groups: Grouping | None = None,
        max_atoms: int = 300,
    ) -> SvgPicture:
        """Draw several molecules, or each of them by several methods.

        The letters of atoms have one size in all of them, bonds are of similar lengths,
        and a row is as high as its molecules.

        Args:
            saliency: The scores of each molecule, as in `visualize`: a list of them, or
                a padded array. Or such a list for each method, by its name: then there
                is a row for each molecule and a column for each method.
            mols: The molecules.
            save_filepath: As in `visualize`.
            visualize_ratio: As in `visualize`.
            color_fn: As in `visualize`; whether a score is negative is asked of each
                method by itself.
            scaler: As in `visualize`, for each molecule. On a common scale only
                unscaled scores can be compared, so the default is None.
            legends: Text below each molecule; by the names of methods if ``saliency``
                is. A method may be left out.
            errors: As in `visualize`, for each molecule; by the names of methods if
                ``saliency`` is. A method may be left out.
            mode: As in `visualize`.
            scale: What has a scale of colours of its own: each cell of the grid
                (``'separate'``), each molecule (``'row'``), each method (``'column'``),
                or only the whole (``'all'``).
            percentile: The strongest colours are for this percentile of the magnitudes
                on a scale, and for larger ones.
            limit: The score, as drawn, of the strongest colours in all cells, instead.
            row_titles: Text before each row; only with methods by name, where each
                molecule has a row.
            n_column: How many molecules a row has if there is one method.
            size: Width and greatest height for each molecule in pixels, 100 to an inch.
            show_colorbar: Whether to draw colour bars with numbers, one for each scale.
            show_key: As in `visualize`.
            key_labels: As in `visualize`.
            title: Title of the whole picture.
            groups: As in `visualize`.
            max_atoms: As in `visualize`, for each molecule.

        Returns:
            The SVG, a str.

        Raises:
            ImportError: RDKit is not installed, or cannot draw on this system.
            ValueError: As in `visualize`; or there are not as many scores, legends or
                titles as molecules.
            TypeError: An argument has the wrong type.
        """
        path = checked_path(save_filepath, FORMATS)
        check_choice("scale", scale, SCALES)
        check_positive("n_column", n_column)
        limit = checked_limit(limit)
        check_number("percentile", percentile, 0, 100)
        mols = list(mols)
        if not mols:
            raise ValueError("mols is empty; there must be at least one molecule")
        methods = names_of_methods(saliency)
        for method in methods or []:
            checked_text("the name of a method in saliency", method)
        if methods is None and scale in ("row", "column"):
            raise ValueError(
                f"scale={scale!r} needs methods, saliency={{name: scores}}; with one "
                "method it is 'all' or 'separate'"
            )
        if methods is None and row_titles is not None:
            raise ValueError(
                "row_titles need methods, saliency={name: scores}, with a row for each "
                "molecule; with one method pass legends"
            )
        _check_size(size)
        rows = compute_cells(
            *(saliency, mols, methods, visualize_ratio, scaler, legends, errors),
            *(max_atoms, size, groups),
        )
        rows = with_limits(rows, scale, percentile)
        if limit is not None:
            scale = "all"
            rows = [[cell._replace(limit=limit) for cell in row] for row in rows]
        rows = with_signs(rows, by_column=methods is not None)
        if methods is None:
            cells = [cell for row in rows for cell in row]
            rows = [cells[i : i + n_column] for i in range(0, len(cells), n_column)]
        sheet = _sheet(
            *(rows, color_fn, mode, scale if show_colorbar else None, size),
            *(unit_of(scaler), show_key, key_labels),
        )
        sheet = sheet._replace(
            title=plain(checked_text("title", title)),
            column_titles=[plain(method) for method in methods or []],
            row_titles=_checked_titles(row_titles, len(mols)),
            is_trimmed=True,
        )
        return _draw(sheet.drawn(), path)


def _with_keywords_of(
    method: Callable[..., Any],
) -> Callable[[Function], Function]:
    """Return a decorator: the signature has a method's keywords for ``**options``."""
    known = inspect.signature(method).parameters.values()

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind != p.VAR_KEYWORD]
        names = {parameter.name for parameter in own}
        more = [p for p in known if p.kind == p.KEYWORD_ONLY and p.name not in names]
        complete = signature.replace(parameters=[*own, *more])
        function.__signature__ = complete  # type: ignore[attr-defined]
        return function

    return decorate


class SmilesVisualizer(MolVisualizer):
    """Draws saliency of molecules that are given as SMILES.

    Its methods are those of `MolVisualizer`, with SMILES in the place of molecules.
    Scores are in the order of the atoms in the SMILES.

    Example:
        >>> from saliency import SmilesVisualizer
        >>> svg = SmilesVisualizer().visualize([-0.1, 0.2, 0.9], "CCO")
    """

    __slots__ = ()

    @checked_arguments
    @_with_keywords_of(MolVisualizer.visualize)
    def visualize(  # type: ignore[override]
        self,
        saliency: Array,
        smiles: str,
        save_filepath: str | PathLike[str] | None = None,
        visualize_ratio: float = 1.0,
        color_fn: ColorFn | None = None,
        scaler: Scaler | None = abs_max_scaler,
        legend: str = "",
        add_Hs: bool = False,
        use_canonical_smiles: bool = False,
        raise_import_error: bool | None = None,
        **options: Any,
    ) -> SvgPicture | Figure:
        """Draw one molecule.

        Args:
            saliency: As in `MolVisualizer.visualize`.
            smiles: The molecule. RDKit leaves out hydrogens without properties of their
                own, as in ``[H]O[H]``; they have no score.
            save_filepath: As in `MolVisualizer.visualize`.
            visualize_ratio: As in `MolVisualizer.visualize`.
            color_fn: As in `MolVisualizer.visualize`.
            scaler: As in `MolVisualizer.visualize`.
            legend: As in `MolVisualizer.visualize`.
            add_Hs: Whether all hydrogens are atoms; their scores come last.
            use_canonical_smiles: Whether scores are in the order of RDKit's canonical
                SMILES instead, as those of Chainer Chemistry's preprocessors are.
            raise_import_error: As in `MolVisualizer.visualize`.
            **options: The keywords of `MolVisualizer.visualize`.

        Returns:
            The SVG, a str; with ``ax`` its figure.

        Raises:
            ImportError, TypeError: As in `MolVisualizer.visualize`.
            ValueError: As there, or RDKit cannot read the SMILES.
        """
        mol = mol_of_smiles(smiles, add_Hs, use_canonical_smiles)
        return super().visualize(
            saliency,
            mol,
            save_filepath,
            visualize_ratio,
            color_fn,
            scaler,
            legend,
            raise_import_error,
            **options,
        )

    @checked_arguments
    @_with_keywords_of(MolVisualizer.visualize_grid)
    def visualize_grid(  # type: ignore[override]
        self,
        saliency: Mapping[str, Sequence[Array]] | Sequence[Array],
        smiles: Sequence[str],
        save_filepath: str | PathLike[str] | None = None,
        visualize_ratio: float = 1.0,
        color_fn: ColorFn | None = None,
        scaler: Scaler | None = None,
        legends: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        *,
        add_Hs: bool = False,
        use_canonical_smiles: bool = False,
        **options: Any,
    ) -> SvgPicture:
        """Draw several molecules, or each of them by several methods.

        Args:
            saliency: As in `MolVisualizer.visualize_grid`.
            smiles: The molecules, as in `visualize`.
            save_filepath: As in `MolVisualizer.visualize_grid`.
            visualize_ratio: As in `MolVisualizer.visualize_grid`.
            color_fn: As in `MolVisualizer.visualize_grid`.
            scaler: As in `MolVisualizer.visualize_grid`.
            legends: As in `MolVisualizer.visualize_grid`.
            add_Hs: As in `visualize`.
            use_canonical_smiles: As in `visualize`.
            **options: The keywords of `MolVisualizer.visualize_grid`.

        Returns:
            The SVG, a str.

        Raises:
            ImportError, TypeError: As in `MolVisualizer.visualize_grid`.
            ValueError: As there, or RDKit cannot read one of the SMILES.
        """
        mols = [mol_of_smiles(one, add_Hs, use_canonical_smiles) for one in smiles]
        return super().visualize_grid(
            *(saliency, mols, save_filepath, visualize_ratio, color_fn, scaler),
            *(legends,),
            **options,
        )


def _checked_titles(row_titles: Sequence[str] | None, n_mol: int) -> list[str]:
    if row_titles is None:
        return []
    titles = one_for_each_row("row_titles", row_titles, n_mol, "molecule")
    return [plain(checked_text("row_titles", title)) for title in titles]


def _sheet(
    rows: list[list[Cell]],
    color_fn: ColorFn | None,
    mode: str,
    bars: str | None,
    size: tuple[int, int],
    unit: str,
    show_key: bool,
    key_labels: tuple[str, str] | None,
) -> Sheet:
    """Return what is drawn, without titles."""
    if color_fn is not None:
        check_callable("color_fn", color_fn)
    check_choice("mode", mode, MODES)
    if key_labels is not None:
        key_labels = checked_key_labels(key_labels)
    panel = (int(size[0]), int(size[1]))
    return Sheet(rows, color_fn, mode, bars, panel, unit, show_key, key_labels)


def _fitted(sheet: Sheet, ax: Axes) -> Sheet:
    """Return a sheet of one molecule that is as large as some axes are now."""
    box = ax.get_window_extent()
    pixels = DPI / ax.figure.figure.dpi
    around = sheet.size[1] - sheet.panel[1]  # legend and key
    width, height = box.width * pixels, box.height * pixels - around
    return sheet._replace(panel=(max(int(width), 50), max(int(height), 50)))


def _check_size(size: tuple[int, int]) -> None:
    if not (np.shape(size) == (2,) and all(is_int(n) and n >= 50 for n in size)):
        raise ValueError(
            f"size must be a width and a height in pixels, each an int >= 50; got "
            f"{size!r}"
        )


def _draw(sheet: Sheet, path: Path | None) -> SvgPicture:
    """Return the picture, and save it if there is a path."""
    canvas = sheet.painted()
    picture = canvas.svg(sheet.words)
    if path is not None:
        extension = path.suffix[1:].lower()
        is_svg = extension == "svg"
        content = picture.encode("utf-8") if is_svg else canvas.file(extension)
        write_file(path, content)
    return picture
