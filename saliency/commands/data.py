"""What DATA is: photographs, a table, molecules, an array."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency.commands.errors import Unusable

_TEXTS = (".csv", ".tsv")
_TABLES = (*_TEXTS, ".parquet", ".feather")
_MOLECULES = (".smi", ".sdf", ".sdf.gz")
_ARRAYS = (".npy",)
_KINDS = {
    **dict.fromkeys(_TABLES, "table"),
    **dict.fromkeys(_MOLECULES, "molecule"),
    **dict.fromkeys(_ARRAYS, "array"),
}
#: What may be meant by a file that is no photograph and does not end as one.
_OTHERS = (
    f"; other files must end with one of {', '.join(_KINDS)}: save a workbook of Excel "
    "as .csv"
)


class Examples(NamedTuple):
    """Examples as files hold them.

    Attributes:
        kind (str): ``'image'``, ``'molecule'``, ``'table'`` or ``'array'``.
        items: Photographs of Pillow, molecules of RDKit, a DataFrame, or an array.
        names (list of str): What each is called.
        molecules (list or None): Molecules as they were given: SMILES, or of RDKit.
    """

    kind: str
    items: Any
    names: list[str]
    molecules: list[Any] | None = None

    def first(self, n: int | None) -> Examples:
        """Return the first n of a list of examples; all of them if n is None."""
        molecules = None if self.molecules is None else self.molecules[:n]
        return Examples(self.kind, self.items[:n], self.names[:n], molecules)


def read_data(args: argparse.Namespace) -> Examples:
    """Return the examples that a command line names.

    Raises:
        Unusable: If they cannot be read, or are of several kinds.
    """
    words = list(_expanded(args.data))
    kinds = {_kind_of(word): word for word in words}
    if len(kinds) > 1:
        listed = " and ".join(f"{word} ({kind})" for kind, word in kinds.items())
        raise Unusable(f"DATA must be of one kind, got {listed}")
    (kind,) = kinds
    if kind in ("table", "array") and len(words) > 1:
        raise Unusable(f"DATA must be one {kind}, got {len(words)} files")
    examples = _READERS[kind](words, args)
    _check_options(args, kind, examples.kind)
    if kind in ("image", "molecule"):
        return examples.first(args.limit)
    return examples  # of the others, the first are taken when the mean of all is known


def _check_options(args: argparse.Namespace, read_as: str, kind: str) -> None:
    """Refuse options that would be ignored.

    Args:
        args (Namespace): The options.
        read_as (str): How the files are read.
        kind (str): What is in them; a table may hold molecules.
    """
    is_text = args.data[0].lower().endswith(_TEXTS)
    texts = f"files that end with {' or '.join(_TEXTS)}"
    for option, is_given, fits, of in (
        ("--drop", bool(args.drop), kind == "table", "tables of numbers"),
        ("--index", args.index is not None, kind == "table", "tables of numbers"),
        ("--encoding", args.encoding is not None, is_text, texts),
        ("--separator", args.separator is not None, is_text, texts),
        ("--smiles", args.smiles is not None, read_as == "table", "tables in files"),
        ("--preprocess", args.preprocess is not None, kind == "image", "photographs"),
        ("--size", args.size is not None, kind == "image", "photographs"),
    ):
        if is_given and not fits:
            raise Unusable(f"{option} is for {of}, and {args.data[0]} is none of these")


def _expanded(words: Sequence[str]) -> Iterator[str]:
    """Yield all words, and in the place of a folder the photographs in it."""
    from PIL import Image

    for word in words:
        if not os.path.isdir(word):
            yield word
            continue
        known = Image.registered_extensions()
        found = [
            path
            for path in sorted(Path(word).iterdir())
            # A Mac keeps notes on a.jpg in ._a.jpg, which is no photograph.
            if path.suffix.lower() in known and not path.name.startswith(".")
        ]
        if not found:
            raise Unusable(f"{word}: there is no photograph in this folder")
        yield from map(str, found)


def _kind_of(word: str) -> str:
    """Return the kind of a file, or of what is no file."""
    suffix = next((s for s in _KINDS if word.lower().endswith(s)), None)
    if os.path.exists(word):
        return _KINDS.get(suffix or "", "image")
    if suffix is not None or _is_image(word):
        raise Unusable(f"{word}: there is no such file")
    return "molecule"


def _is_image(word: str) -> bool:
    """Tell whether a word ends as files of images do."""
    from PIL import Image

    return os.path.splitext(word)[1].lower() in Image.registered_extensions()


def _read_photographs(words: Sequence[str], args: argparse.Namespace) -> Examples:
    photographs = []
    for word in words[: args.limit]:
        try:
            photographs.append(saliency.read_photograph(word))
        except (OSError, ValueError) as error:
            reason = str(error)
            if word not in reason:
                reason = f"{word}: {reason}"
            if isinstance(error, ValueError) and not _is_image(word):
                reason += _OTHERS
            raise Unusable(reason) from error
    return Examples("image", photographs, [Path(word).name for word in words])


def _read_table(words: Sequence[str], args: argparse.Namespace) -> Examples:
    (path,) = words
    frame = _frame_of(path, args)
    column = args.smiles or _smiles_column(frame.columns)
    is_told = args.smiles is None and column in (*args.drop, args.index)
    if column is not None and not is_told:
        _check_columns(frame, [column], "--smiles", path)
        is_missing = frame[column].isna().to_numpy()
        if is_missing.any():
            raise Unusable(
                f"{path} has no SMILES in {int(is_missing.sum())} rows, the first of "
                f"which is row {int(is_missing.argmax())} (counted from 0)"
            )
        smiles = list(map(str, frame[column]))
        mols = [_molecule(one, f" in {path}") for one in smiles]
        return Examples("molecule", mols, smiles, list(smiles))
    _check_columns(frame, args.drop, "--drop", path)
    if args.index is not None:
        _check_columns(frame, [args.index], "--index", path)
        frame = frame.set_index(args.index)
    frame = frame.drop(columns=args.drop)
    if frame.empty:
        raise Unusable(f"{path} has no rows or no columns")
    return Examples("table", frame, list(map(str, frame.index)))


def _frame_of(path: str, args: argparse.Namespace) -> Any:
    """Return a table as a DataFrame of pandas.

    Raises:
        ImportError: If pandas is not installed.
        Unusable: If the file cannot be read.
    """
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise ImportError(
            "tables are read by pandas, which is not installed: pip install "
            "pandas pyarrow"
        ) from None
    read_csv = functools.partial(_frame_of_csv, pandas, args)
    readers = {
        **dict.fromkeys(_TEXTS, read_csv),
        ".parquet": pandas.read_parquet,
        ".feather": pandas.read_feather,
    }
    try:
        return readers[os.path.splitext(path)[1].lower()](path)
    except Unusable:
        raise
    except ImportError:
        raise ImportError(
            f"{path} is read by pyarrow, which is not installed: pip install "
            "pandas pyarrow"
        ) from None
    except Exception as error:  # pandas and pyarrow have many
        raise Unusable(f"{path} cannot be read as a table: {error}") from error


def _frame_of_csv(pandas: Any, args: argparse.Namespace, path: str) -> Any:
    """Return the table of a .csv or .tsv, read as the options say.

    With another separator than a comma, a comma may be the decimal point.
    """
    usual = "\t" if path.lower().endswith(".tsv") else ","
    separator = {None: usual, "tab": "\t"}.get(args.separator, args.separator)
    if len(separator) != 1:
        raise Unusable(
            f"--separator must be one character or 'tab', got {args.separator!r}"
        )
    read = functools.partial(
        pandas.read_csv, path, encoding=args.encoding or "utf-8", sep=separator
    )
    try:
        frame = read()
        if separator != ",":
            frame = max(frame, read(decimal=","), key=_number_of_numeric_columns)
        if args.index in frame.columns:
            # Names of rows stay as they are written: 001, or NA, which is Namibia.
            as_written = {"dtype": str, "keep_default_na": False}
            frame[args.index] = read(usecols=[args.index], **as_written)[args.index]
    except LookupError:
        raise Unusable(
            f"--encoding {args.encoding}: there is no such encoding"
        ) from None
    except UnicodeDecodeError as error:
        if args.encoding is not None:
            raise Unusable(f"--encoding {args.encoding}: {path}: {error}") from error
        raise Unusable(
            f"{path} is not in UTF-8; say how it is encoded, as in --encoding cp932, "
            "which is how Excel writes in Japan"
        ) from error
    _tell_names_that_are_numbers(read(nrows=1, header=None), path)
    name = str(frame.columns[0])
    marks = (mark for mark in (";", "\t", ",") if mark != separator)
    found = next((mark for mark in marks if mark in name), None)
    if len(frame.columns) == 1 and found is not None:
        given = "tab" if found == "\t" else f"'{found}'"
        raise Unusable(
            f"{path} has one column, {name!r}; if these are several, pass --separator "
            f"{given}"
        )
    return frame


def _tell_names_that_are_numbers(line: Any, path: str) -> None:
    """Warn where the first line of a table may be its first example.

    Numbers one after the other, as pandas calls columns without names, are names.

    Args:
        line (DataFrame): The first line.
        path (str): The table.
    """
    if _number_of_numeric_columns(line) < len(line.columns):
        return
    numbers = line.iloc[0].dropna()
    if not (np.diff(numbers) == 1).all():
        warnings.warn(
            f"{path}: the first line, {', '.join(map(str, numbers[:4]))}"
            f"{', ...' if len(numbers) > 4 else ''}, is taken for the names of the "
            "columns; if it is an example, write a line of names before it",
            stacklevel=2,
        )


def lines_of(path: str | Path, option: str = "") -> list[str]:
    """Return the lines of a text in UTF-8 that are not empty, without space around.

    Args:
        path (path): The file.
        option (str): What it was given as, for messages, with a space behind.

    Raises:
        Unusable: If it is in another encoding.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # as Notepad writes it, too
    except UnicodeDecodeError as error:
        raise Unusable(f"{option}{path} is not in UTF-8: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _number_of_numeric_columns(frame: Any) -> int:
    return len(frame.select_dtypes("number").columns)


def _check_columns(frame: Any, names: Sequence[str], option: str, path: str) -> None:
    for name in names:
        if name not in frame.columns:
            known = ", ".join(map(str, frame.columns[:20]))
            raise Unusable(f"{option}: {path} has no column {name!r}; it has {known}")


def _smiles_column(columns: Sequence[str]) -> str | None:
    """Return the name of the column that holds SMILES, if one is called so."""
    return next((c for c in columns if _is_called_smiles(str(c))), None)


def _is_called_smiles(name: str) -> bool:
    """Tell whether a column of that name holds SMILES; the name itself is none."""
    return name.lower() in ("smiles", "canonical_smiles")


def _read_molecules(words: Sequence[str], args: argparse.Namespace) -> Examples:
    """Read files of molecules, and SMILES."""
    found = [one for word in words for one in _molecules_of(word)]
    mols, names, given = map(list, zip(*found)) if found else ([], [], [])
    if not mols:
        raise Unusable(f"{words[0]} has no molecules")
    return Examples("molecule", mols, names, given)


def _molecules_of(word: str) -> Iterator[tuple[Any, str, Any]]:
    """Yield the molecules of a word, which is a SMILES or a file.

    Each comes with its name and with what was given: a SMILES, or the molecule itself.
    """
    if os.path.exists(word) and word.lower().endswith((".sdf", ".sdf.gz")):
        try:
            found = saliency.read_sdf(word)
        except (OSError, ValueError) as error:
            raise Unusable(str(error)) from error
        for i, mol in enumerate(found):
            is_named = mol.HasProp("_Name") and mol.GetProp("_Name")
            name = mol.GetProp("_Name") if is_named else f"record {i + 1}"
            yield mol, name, mol
    elif os.path.exists(word) and word.lower().endswith(".smi"):
        for i, line in enumerate(lines_of(word)):
            smiles, *name = line.split(None, 1)
            if i == 0 and _is_called_smiles(smiles):
                continue  # the names of the columns, as RDKit writes them
            mol = _molecule(smiles, f" in {word}")
            yield mol, name[0] if name else smiles, smiles
    else:
        yield _molecule(word, ""), word, word


def _molecule(smiles: str, where: str) -> Any:
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise ImportError(
            f"{smiles}: there is no such file; SMILES are read by RDKit, which is not "
            "installed: pip install rdkit"
        ) from None
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None or not mol.GetNumAtoms():
        no_file = "" if where else "there is no such file, and "
        raise Unusable(f"{smiles}{where}: {no_file}RDKit cannot read it as SMILES")
    return mol


def _read_array(words: Sequence[str], args: argparse.Namespace) -> Examples:
    (path,) = words
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Unusable(f"{path} cannot be read as an array: {error}") from error
    if array.ndim == 0 or array.dtype.kind not in "biuf" or not array.size:
        raise Unusable(
            f"{path} must hold numbers with an axis for the examples, got "
            f"{array.dtype} of shape {array.shape}"
        )
    return Examples("array", array, [f"example {i}" for i in range(len(array))])


_READERS = {
    "image": _read_photographs,
    "table": _read_table,
    "molecule": _read_molecules,
    "array": _read_array,
}
