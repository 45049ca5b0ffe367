"""Cells of a picture of molecules: which atoms and bonds have which colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.checks import check_number, checked_text, is_int
from saliency.digits import written_out
from saliency.visualizer.colors import ALL_ZERO, atom_color, magnitude_color
from saliency.visualizer.grids import Column, columns_of
from saliency.visualizer.molecules.canvas import Color
from saliency.visualizer.molecules.groups import (
    Grouping,
    checked_groups,
    group_sums,
    groups_of_atoms,
)
from saliency.visualizer.molecules.parts import strongest_part
from saliency.visualizer.molecules.rdkit_modules import checked_mol
from saliency.visualizer.names import plain
from saliency.visualizer.scalers import Scaler, apply_scaler
from saliency.visualizer.scores import (
    checked_errors,
    checked_scores_of_elements,
    uncertain,
)

ColorFn = Callable[[float], Sequence[float]]

#: Atoms and bonds have the colours, or the plane around the atoms.
MODES = ("highlight", "contour")

GREY: Color = (0.83, 0.83, 0.83)  # of what cannot be distinguished from zero


class Cell(NamedTuple):
    """One molecule with the scores of its atoms.

    Attributes:
        mol: What is drawn of the molecule, ready for it; the n_atom atoms with scores
            come first.
        scores: As they are drawn, ``(n_atom,)``.
        is_shown: Which atoms are coloured, ``(n_atom,)``.
        is_uncertain: Which scores cannot be distinguished from zero, ``(n_atom,)``.
        legend: Text below the molecule.
        all_scores: Those of the atoms that are left out, too.
        limit: The score of the strongest colours.
        groups: Which group each atom is in, ``(n_atom,)``; None where scores are of
            atoms.
        is_signed: Whether there are negative scores, so that colours tell signs.
        keeps_signs: Whether a scaler has left scores the signs that they had.
    """

    mol: Any
    scores: np.ndarray
    is_shown: np.ndarray
    is_uncertain: np.ndarray
    legend: str
    all_scores: np.ndarray
    limit: float = 1.0
    groups: np.ndarray | None = None
    is_signed: bool = True
    keeps_signs: bool = True

    @property
    def relative_scores(self) -> np.ndarray:
        """The scores, divided by the limit."""
        return self.scores / self.limit

    @property
    def on_plane(self) -> np.ndarray:
        """Which atoms colour the plane of a contour picture, ``(n_atom,)``."""
        on_plane: np.ndarray = self.is_shown & ~self.is_uncertain
        return on_plane

    def color_fn(self, color_fn: ColorFn | None) -> ColorFn:
        """Return the user's function from scores to colours, or that of the scores."""
        return color_fn or (atom_color if self.is_signed else magnitude_color)

    def colors(
        self, color_fn: ColorFn | None, mode: str
    ) -> tuple[dict[int, Color], dict[int, Color]]:
        """Return the colours of the atoms and of the bonds that have one, by index.

        A bond has a colour if both ends are grey, or if both have colours of scores. It
        has that of its weaker end, and that of 0 where the ends have different signs:
        what leads out of a strong group does not look half as strong. Bonds between two
        groups have none.

        Args:
            color_fn: Maps a score, divided by the limit, to red, green and blue; None
                for the function that suits the scores.
            mode: One of `MODES`; in a contour picture only grey atoms have a colour.
        """
        kinds = np.where(
            self.is_shown, np.where(self.is_uncertain, "grey", "score"), "none"
        )
        if mode == "contour":
            kinds[kinds == "score"] = "none"  # the plane has their colours
        scores, fn = self.relative_scores, self.color_fn(color_fn)

        def color(kind: str, score: float) -> Color:
            return GREY if kind == "grey" else rgb(fn, score)

        atoms = {
            i: color(kind, scores[i]) for i, kind in enumerate(kinds) if kind != "none"
        }
        bonds = {}
        for bond in self.mol.GetBonds():
            ends = [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]
            # To draw it, hydrogens or dummies may be behind the atoms with scores.
            if max(ends) >= len(kinds) or not self._is_within_group(ends):
                continue
            if kinds[ends[0]] == kinds[ends[1]] != "none":
                bonds[bond.GetIdx()] = color(kinds[ends[0]], _weaker(scores[ends]))
        return atoms, bonds

    def _is_within_group(self, ends: list[int]) -> bool:
        return self.groups is None or self.groups[ends[0]] == self.groups[ends[1]]


def with_signs(rows: Sequence[Sequence[Cell]], by_column: bool) -> list[list[Cell]]:
    """Return the cells, which know whether there are negative scores in any of them.

    Args:
        rows: The cells, by row and column.
        by_column: Whether each column is of a method of its own. All cells together are
            signed or not otherwise.
    """
    columns = list(zip(*rows)) if by_column else [sum(map(tuple, rows), ())]
    is_signed = [any(cell.is_signed for cell in column) for column in columns]
    return [
        [
            cell._replace(is_signed=is_signed[j if by_column else 0])
            for j, cell in enumerate(row)
        ]
        for row in rows
    ]


def rgb(color_fn: ColorFn, score: float) -> Color:
    """Return red, green and blue of a score, without the opacity that may follow."""
    red, green, blue = (float(channel) for channel in color_fn(score)[:3])
    return red, green, blue


def compute_cell(
    saliency: Array,
    mol: Any,
    visualize_ratio: float,
    scaler: Scaler | None,
    legend: str,
    errors: Array | None,
    max_atoms: int,
    size: tuple[int, int],
    groups: Grouping | None = None,
    name: str = "saliency",
    errors_name: str = "errors",
) -> Cell:
    """Return the cell of a molecule, which is not changed.

    Args:
        saliency: Scores of the atoms, ``(n_atom,)``, padded with NaN.
        mol: The molecule, an `rdkit.Chem.Mol`.
        visualize_ratio: Which share of the atoms is coloured, the strongest first.
        scaler: Maps the scores to those drawn; None leaves them as they are.
        legend: Text below the molecule.
        errors: How far each score may be off, ``(n_atom,)``, padded with NaN; or None.
        max_atoms: How many atoms are drawn, the strongest and those around them; -1 for
            all.
        size: Width and height of the picture of the molecule.
        groups: Divides the molecule into groups of atoms, whose scores are added up; or
            None.
        name: What messages call ``saliency``.
        errors_name: What messages call ``errors``.

    Raises:
        ImportError: RDKit is not installed, or cannot draw on this system.
        ValueError: A shape or a number is wrong, or a value is not finite.
        TypeError: An argument has the wrong type.
    """
    checked_mol(mol, hint="; for SMILES there is SmilesVisualizer")
    n_atom = mol.GetNumAtoms()
    if n_atom == 0:
        raise ValueError("mol has no atoms")
    check_number("visualize_ratio", visualize_ratio, 0, 1)
    scores = checked_scores(saliency, n_atom, name)
    if errors is not None:
        errors = checked_scores(errors, n_atom, errors_name)  # without padding
    if not is_int(max_atoms) or max_atoms == 0 or max_atoms < -1:
        raise ValueError(
            f"max_atoms must be -1 (all) or an int of at least 1, got {max_atoms!r}"
        )
    off = checked_errors(errors, scores, errors_name)
    index, has_negative = None, False
    if groups is not None:
        has_negative = bool((scores < 0).any())  # also where no sum is
        if errors is not None:
            raise ValueError(
                f"{errors_name} are of atoms, and say nothing of sums over groups; "
                "leave out errors or groups"
            )
        found = checked_groups(groups, mol)
        index = groups_of_atoms(found)
        scores, off = group_sums(scores, found), np.zeros(len(found))
    scaled = apply_scaler(scores, scaler)
    keeps_signs = np.array_equal(np.sign(scaled), np.sign(scores))
    cell = _Scores(
        scaled,
        _strongest(scores, visualize_ratio),
        uncertain(scores, off),
    ).of_atoms(index)
    part = strongest_part(
        *(mol, scores if index is None else scores[index]),
        *(None if max_atoms == -1 else int(max_atoms), size[0] / size[1]),
    )
    if index is not None:
        index = index[part.atoms]
        _write_sums(part.mol, scores, index)
    texts = [plain(checked_text("legend", legend))]
    if part.n_left_out:
        texts.append(f"and {part.n_left_out:,} more atoms")
    if not scores.any():
        texts.append(ALL_ZERO)
    return Cell(
        part.mol,
        cell.scores[part.atoms],
        cell.is_shown[part.atoms],
        cell.is_uncertain[part.atoms],
        "\n".join(text for text in texts if text),
        cell.scores,
        groups=index,
        is_signed=bool((cell.scores < 0).any()) or has_negative,
        keeps_signs=keeps_signs,
    )


class _Scores(NamedTuple):
    """Scores of atoms or of groups, and what holds for them; each ``(n,)``."""

    scores: np.ndarray
    is_shown: np.ndarray
    is_uncertain: np.ndarray

    def of_atoms(self, groups: np.ndarray | None) -> _Scores:
        """Return what each atom has, if ``groups`` says which of these it is in."""
        return self if groups is None else _Scores(*(array[groups] for array in self))


def _write_sums(mol: Any, sums: np.ndarray, groups: np.ndarray) -> None:
    """Note the sum of each group at the atom of it that is most at the edge."""
    for group in np.unique(groups):
        atoms = [mol.GetAtomWithIdx(int(i)) for i in np.flatnonzero(groups == group)]
        atom = min(atoms, key=lambda one: (one.GetDegree(), one.GetIdx()))
        atom.SetProp("atomNote", written_out(sums[group], 2, "+"))


def compute_cells(
    saliency: Mapping[str, Sequence[Array]] | Sequence[Array],
    mols: Sequence[Any],
    methods: Sequence[str] | None,
    visualize_ratio: float,
    scaler: Scaler | None,
    legends: Mapping[str, Sequence[str]] | Sequence[str] | None,
    errors: Mapping[str, Sequence[Array]] | Sequence[Array] | None,
    max_atoms: int,
    size: tuple[int, int],
    groups: Grouping | None = None,
) -> list[list[Cell]]:
    """Return a row for each molecule, with a cell for each method.

    Args:
        saliency: The scores of each molecule, by ``methods`` if these have names.
        mols: The molecules.
        methods: Names of the methods; None where there is one without a name.
        visualize_ratio: As in `compute_cell`.
        scaler: As in `compute_cell`.
        legends: Text below each molecule, by ``methods``, or None.
        errors: As in `compute_cell` for each molecule, by ``methods``, or None.
        max_atoms: As in `compute_cell`, for each molecule.
        size: As in `compute_cell`.
        groups: As in `compute_cell`, for each molecule.

    Raises:
        ImportError, TypeError: As in `compute_cell`.
        ValueError: As in `compute_cell`; or there are not as many scores, legends or
            errors as molecules.
    """

    def columns(name: str, value: Any) -> list[Column]:
        return columns_of(name, value, methods, len(mols), "molecule")

    columns_of_methods = list(
        zip(
            columns("saliency", saliency),
            columns("errors", errors),
            columns("legends", legends),
        )
    )
    return [
        [
            compute_cell(
                scores.entries[i],
                mol,
                visualize_ratio,
                scaler,
                texts.entries[i] or "",
                off.entries[i],
                max_atoms,
                size,
                groups,
                f"{scores.label}[{i}]",
                f"{off.label}[{i}]",
            )
            for scores, off, texts in columns_of_methods
        ]
        for i, mol in enumerate(mols)
    ]


def checked_scores(value: Array, n_atom: int, name: str) -> np.ndarray:
    """Return the scores of the atoms in float64, ``(n_atom,)``, without padding."""
    hint = f"; for one molecule pass {name}[0]"
    return checked_scores_of_elements(value, n_atom, name, "atom", "molecule", hint)


def _weaker(scores: np.ndarray) -> float:
    """Return the one of two scores that is nearer to 0; 0 if one is below 0 alone."""
    if scores.min() < 0 < scores.max():
        return 0.0
    return float(scores[np.abs(scores).argmin()])


def _strongest(scores: np.ndarray, ratio: float) -> np.ndarray:
    """Tell which atoms are the share with the largest magnitudes, ``(n_atom,)``."""
    n_shown = int(np.floor(ratio * len(scores) + 0.5))
    is_shown = np.zeros(len(scores), bool)
    is_shown[np.argsort(-np.abs(scores), kind="stable")[:n_shown]] = True
    return is_shown
