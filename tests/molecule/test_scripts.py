"""The scripts of examples/molecule, with little to do.

`make demo`, which has a test, starts one as a newcomer does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from itertools import product

import pytest
from PIL import Image

from tests.molecule.example import (
    FOLDER,
    logp,
    logp_network,
    solubility,
    substructure,
    train_logp,
)
from tests.scripts import as_started, run_script
from tests.servers import content, running

import chainer

pytestmark = pytest.mark.large


def assert_is_picture(path):
    with Image.open(path) as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


@pytest.fixture
def esol(tmp_path):
    """A table as that of ESOL, of small molecules."""
    ends = ["CCCCC", "CCCO", "c1ccccc1", "CCN", "CC(C)", "OCC(O)C", "CCCl"]
    smiles = [f"{a}C{b}" for a, b in product(ends, ends) if "c" not in b]
    rows = [f"{s},{s.count('O') - s.count('C') / 2}" for s in smiles]
    path = tmp_path / "esol.csv"
    path.write_text("\n".join([f"smiles,{solubility.COLUMN}", *rows]))
    return path


def test_solubility(esol, tmp_path, capsys):
    run_script(
        *(FOLDER / "solubility.py", "--data", esol, "--fold", 2, "--epoch", 2),
        *("--out", tmp_path / "out"),
    )
    printed = capsys.readouterr().out
    assert "test RMSE over 2 folds: " in printed
    assert "| O of OH groups | " in printed
    assert_is_picture(tmp_path / "out" / "molecules.png")


@pytest.fixture
def few_molecules(nci, monkeypatch):
    """Training on the whole file takes minutes."""
    few = nci[::12]
    for module in (logp_network, substructure):
        monkeypatch.setattr(module, "nci_molecules", lambda: few)


def run(script, *arguments):
    """Run a script that has been imported, with what a test has replaced in it."""
    with as_started(FOLDER / f"{script.__name__}.py", *arguments):
        script.main()


def test_substructure(few_molecules, tmp_path, monkeypatch, capsys):
    run(
        *(substructure, "--n-train", 24, "--run", 2, "--iteration", 3),
        *("--M", 2, "--n-explain", 6, "--out", tmp_path),
    )
    printed = capsys.readouterr().out.splitlines()
    assert len([row for row in printed if "Grad | 0." in row]) == 4
    assert_is_picture(tmp_path / "precision_recall.png")
    assert_is_picture(tmp_path / "molecules.png")


def test_logp_of_a_network_that_is_trained(
    few_molecules, tmp_path, monkeypatch, capsys
):
    """Not by default: below, a GGNN is trained with a random split."""
    run(
        *(logp, "--train", "--epoch", 4, "--n-explain", 12, "--M", 2),
        *("--out", tmp_path, "--split", "scaffold", "--network", "nfp"),
    )
    printed = capsys.readouterr().out
    (row,) = [r for r in printed.splitlines() if r.startswith("test R2:")]
    assert 0.2 < float(row.split()[2]) < 1
    table = [row.split("|") for row in printed.splitlines() if row.startswith("|")]
    assert len(table) == 2 + 12
    assert all(-1 <= float(row[2]) <= 1 for row in table[2:])
    assert_is_picture(tmp_path / "grid.png")
    log = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
    assert printed.count("main/loss") == 2 * len(log)  # that of training and validation
    assert "\r" not in printed
    assert "\x1b" not in printed


def test_it_is_said_that_molecules_are_others_than_in_the_training(
    few_molecules, capsys
):
    """The network that comes along is explained by `make demo`."""
    device = chainer.get_device("@numpy")
    logp.network_and_molecules(argparse.Namespace(train=False, device=device))
    printed = capsys.readouterr().out
    assert "RDKit reads 408 molecules here, and 4892 where the" in printed


def test_the_network_that_comes_along_is_trained_by_a_script(
    few_molecules, tmp_path, monkeypatch, capsys
):
    run(train_logp, "--epoch", 1, "--seed", 3, "--out", tmp_path)
    weights = tmp_path / "logp_ggnn.npz"
    assert f"Weights: {weights}" in capsys.readouterr().out
    record = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
    assert record.keys() == logp_network.load_record().keys()
    assert (record["epoch"], record["seed"], record["n_test"]) == (1, 3, 41)
    model = logp_network.new_network("ggnn")
    chainer.serializers.load_npz(weights, model)
    few = logp_network.load_molecules("random", 3)
    found = logp_network.predict_test(model, few)
    assert round(logp_network.r2_of(found, few), 4) == record["test_r2"]


@pytest.mark.parametrize(
    "script, arguments, message",
    [
        (solubility, ["--data", "missing.csv"], "missing.csv: there is no such"),
        (substructure, ["--data", "missing.gz"], "missing.gz: there is no such"),
        (substructure, ["--run", "1"], "--run: must be a whole number of at least 2"),
        (logp, ["--epoch", "5"], "--epoch is for a network that is trained: add --tr"),
        (logp, ["--split", "random"], "--split is for a network that is trained"),
    ],
)
def test_what_is_wrong_is_said(
    script, arguments, message, tmp_path, monkeypatch, capsys
):
    with pytest.raises(SystemExit) as end:
        run(script, *arguments, "--out", tmp_path)
    assert message in f"{end.value}{capsys.readouterr().err}"


@pytest.mark.parametrize("script", [logp, solubility, substructure])
def test_where_rdkit_cannot_draw_it_is_said_at_once(script, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit.Chem.Draw", None)
    with pytest.raises(SystemExit, match=r"RDKit cannot draw here .* libxrender1"):
        run(script, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


class TestDownload:
    content = b"smiles\nCCO\n"
    checksum = f"sha256:{hashlib.sha256(content).hexdigest()}"

    @pytest.fixture(autouse=True)
    def cache(self, tmp_path):
        root = chainer.dataset.get_dataset_root()
        chainer.dataset.set_dataset_root(str(tmp_path / "cache"))
        yield tmp_path / "cache"
        chainer.dataset.set_dataset_root(root)

    @pytest.fixture
    def there(self):
        with running({"/there.csv": content(self.content)}) as server:
            yield f"{server.address}/there.csv"

    def test_the_data_is_fetched_once(self, there, cache):
        path = solubility.find_data(None, there, self.checksum)
        assert path.read_bytes() == self.content
        assert cache in path.parents
        there = "http://127.0.0.1:9/there.csv"
        assert solubility.find_data(None, there, self.checksum) == path

    def test_another_file_is_refused(self, there, cache):
        with pytest.raises(SystemExit, match=r"not the file .* name it with --data"):
            solubility.find_data(None, there)
        assert not list(cache.rglob("*.csv"))

    def test_nobody_there(self):
        with pytest.raises(SystemExit, match="name it with --data"):
            solubility.find_data(None, "http://127.0.0.1:9/x.csv")

    def test_a_path_is_taken_as_it_is(self, tmp_path):
        assert solubility.find_data(tmp_path / "x.csv") == tmp_path / "x.csv"
