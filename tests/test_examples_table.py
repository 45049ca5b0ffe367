"""The scripts on tables run as they stand, with little to do.

`make demo`, which has a test, starts one as a newcomer does.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

from tests.scripts import EXAMPLES, run_script

FOLDER = EXAMPLES / "table"


@pytest.mark.large
def test_posteriors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_script(
        *(FOLDER / "posteriors.py", "--epoch", 4, "--n-member", 2, "--M", 2),
        *("--out", tmp_path),
    )
    printed = capsys.readouterr().out
    rows = dict(re.findall(r"^(\S.*?) {2,}(\d\.\d+) ", printed, re.MULTILINE))
    assert list(rows) == ["the network alone", "dropout", "SWAG", "ensemble of 2"]
    assert all(float(accuracy) > 0.8 for accuracy in rows.values())
    for name in ("posteriors", "pixels"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_pictures_have_the_values_that_the_names_of_columns_say() -> None:
    """Centimetres, where the network is given standardized values."""
    spec = importlib.util.spec_from_file_location("example_of_iris", FOLDER / "iris.py")
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    table = example.load_table("iris", 0)
    _, explanation = example.explain(example.MLP(4, 3), table, 2, 0)
    flowers = {tuple(row) for row in load_iris().data.astype("f").tolist()}
    assert {tuple(row) for row in explanation.data.tolist()} <= flowers


@pytest.mark.large
def test_importances_of_a_regression(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of a classification are drawn by `make demo`, which has a test."""
    run_script(
        *(FOLDER / "iris.py", "--dataset", "diabetes", "--epoch", 15, "--M", 2),
        *("--out", tmp_path),
    )
    printed = capsys.readouterr().out
    reached = re.search(r"^test R2: (\S+)$", printed, re.MULTILINE)
    assert reached is not None
    assert float(reached[1]) > 0.2
    pictures = re.findall(r"^  (\S+\.png)$", printed, re.MULTILINE)
    assert len(pictures) == 8
    for picture in pictures:
        assert Path(picture).stat().st_size > 5000
