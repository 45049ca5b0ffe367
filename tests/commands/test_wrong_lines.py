"""Wrong command lines: one line that says what is wrong, and status 2."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from saliency.commands import main

IRIS = "explain iris.csv --drop species --model"
ONNX = f"{IRIS} iris.onnx"
USER = "networks_of_a_user"

#: From a command line to what has to be said of it.
WRONG = {
    "frobnicate": "invalid choice: 'frobnicate'",
    "methods nope": "nope: there is no such method; methods are ablation-cam, ",
    "methods lrp:nope": "presets are lrp0, epsilon, ",
    "methods smoothgard": "did you mean smooth-grad?",
    "explain": "arguments are required: DATA, --model",
    "explain iris.csv": "arguments are required: --model",
    "explain iris.csv --model": "argument --model: expected one argument",
    # What is explained.
    "explain missing.csv --model iris.onnx": "missing.csv: there is no such file",
    "explain missing.jpg --model logp-ggnn": "missing.jpg: there is no such file",
    "explain missing --model logp-ggnn": "missing: there is no such file, and RDKit",
    "explain empty --model logp-ggnn": "empty: there is no photograph in this folder",
    "explain text.jpg --model logp-ggnn": "text.jpg is not an image",
    "explain text.xlsx --model iris.onnx": "other files must end with one of .csv, .ts",
    "explain commas.tsv --model iris.onnx": "'a,b'; if these are several, pass --sepa",
    "explain iris.csv CCO --model logp-ggnn": "of one kind, got iris.csv (table) and C",
    "explain iris.csv iris.csv --model iris.onnx": "must be one table, got 2 files",
    "explain head.csv --model iris.onnx": "head.csv has no rows",
    "explain sjis.csv --model iris.onnx": "error: sjis.csv is not in UTF-8; say how it",
    "explain sjis.csv --encoding no --model iris.onnx": "--encoding no: there is no su",
    "explain sjis.csv --encoding ascii --model iris.onnx": "--encoding ascii: sjis.csv",
    "explain semicolons.csv --model iris.onnx": "'a;b'; if these are several, pass --s",
    "explain head.csv --separator ab --model iris.onnx": "--separator must be one char",
    "explain iris.csv --model iris.onnx": "hold others: species; leave them out with",
    "explain iris.csv --drop nope --model iris.onnx": "no column 'nope'; it has sepal",
    "explain iris.csv --index nope --model iris.onnx": "--index: iris.csv has no col",
    "explain iris.csv --smiles nope --model logp-ggnn": "--smiles: iris.csv has no col",
    "explain words.npy --model iris.onnx": "words.npy must hold numbers",
    "explain wide.npy --model iris.onnx": "must have the shape ('any', 4), got (3, 5)",
    "explain C1CC --model logp-ggnn": "C1CC: there is no such file, and RDKit",
    "explain '*CC' --model logp-ggnn": "*CC: mol must be of real atoms",
    "explain CCO --model iris.onnx": "does not say how it takes molecules",
    "explain photographs --model iris.onnx": "pass --preprocess, one of unit",
    "explain photographs --model logp-ggnn": "logp-ggnn takes molecules, got photogr",
    "explain CCO --drop a --model logp-ggnn": "--drop is for tables of numbers, and",
    "explain CCO --index a --model logp-ggnn": "--index is for tables of numbers, and",
    "explain CCO --smiles a --model logp-ggnn": "--smiles is for tables in files, and",
    "explain rows.npy --encoding ascii --model iris.onnx": "--encoding is for files th",
    "explain rows.npy --separator tab --model iris.onnx": "--separator is for files th",
    "explain rows.npy --size 32 --model iris.onnx": "--size is for photographs, and",
    f"{ONNX} --preprocess unit": "--preprocess is for photographs, and iris.csv",
    # What explains.
    f"{IRIS} vgg17": "neither one of efficientnet-lite0, vgg16",
    f"{IRIS} missing.onnx": "--model missing.onnx: there is no such file",
    f"{IRIS} text.onnx": "--model text.onnx: model='text.onnx' ",
    f"{IRIS} no_such_module:f": "No module named 'no_such_module'",
    f"{IRIS} {USER}:nope": f"{USER} has no function 'nope'",
    f"{IRIS} {USER}:three": "the factory must return a network, got 3",
    f"{IRIS} {USER}:unfinished": "model must be trained",
    f"{IRIS} iris.pkl": "--trust-pickle does so",
    f"{IRIS} text.pkl --trust-pickle": "--model text.pkl: ",
    f"{ONNX} --weights linear.npz": "--weights is for networks that are known by name",
    f"{IRIS} {USER}:linear --weights missing.npz": "missing.npz: there is no such file",
    f"{IRIS} {USER}:linear --weights rows.npy": "it is one array",
    f"{IRIS} {USER}:Bright --weights linear.npz": "linear.npz does not fit",
    f"{ONNX} --output nope": "got 'nope'",
    f"{IRIS} {USER}:linear --output y": "--output is for a model in an ONNX file",
    f"{ONNX} --target nope": "no such link; it has ",
    # Which class.
    f"{ONNX} --class 3": "classes are numbered 0 to 2",
    f"{ONNX} --class virginica": "the classes have no names",
    f"{ONNX} --class \u00b2": "the classes have no names",
    f"{ONNX} --class all --workers 2": "--class all: with --workers, one class",
    f"{ONNX} --classes species.txt --class rose": "no such class; they are setosa, ",
    f"{ONNX} --classes species.txt --class vir": "you mean one of these? 2: virginica",
    f"{ONNX} --classes cranes.txt --class crane": "crane is the name of several",
    f"{ONNX} --classes grades.txt --class 0": "no such class; they are 1, 2, 3",
    f"{ONNX} --classes head.csv": "--classes must name all 3 outputs, got 1",
    # How.
    f"{ONNX} --method nope": "nope: there is no such method",
    f"{ONNX} --set stepz=3": "has no setting stepz; did you mean steps?",
    f"{ONNX} --set steps": "--set must be NAME=VALUE, got 'steps'",
    f"{ONNX} --set method=nope": "method must be one of 'gauss_legendre'",
    f"{ONNX} --method lrp --steps 3": "lrp has no setting steps",
    f"{ONNX} --M 3": "--M: integrated-gradients draws no samples; smooth-grad and",
    f"{ONNX} --steps 0": "argument --steps: must be a whole number of at least 1",
    f"{ONNX} --baseline nope": "baseline must be a number",
    f"{ONNX} --noise -1": "--noise: scale must be a finite number >= 0",
    f"{ONNX} --seed -1": "argument --seed: must be a whole number from 0",
    f"{ONNX} --device @nope": "argument --device: '@nope' cannot be used here",
    f"{ONNX} --method grad-cam": "no convolution of Chainer's links is called",
    f"{ONNX} --methd lrp": "unrecognized arguments: --methd lrp",
    f"{ONNX} --out text.jpg": "argument --out: text.jpg is no folder to write into",
    "report iris.csv --model iris.onnx --out a.txt": "a.txt must end with one of html",
    "report iris.csv --model iris.pkl --method lrp --method LRP": "is named twice",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_lines(
    line: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name for path in folder.iterdir()} - {"__pycache__"}
    assert main(shlex.split(line)) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "error: " in printed
    assert WRONG[line] in printed
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == before


@pytest.mark.parametrize(
    ("table", "model", "message"),
    [
        ("a,b,c,d\n1,2,3,4\n1,,3,\n", "iris.onnx", "rows of b, d, as in row 1 of b"),
        ("smiles,y\nCCO,1\n,2\n,3\n", "logp-ggnn", "in 2 rows, the first of which is"),
    ],
)
def test_cells_that_are_missing_are_named(
    table: str,
    model: str,
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "gaps.csv"
    path.write_text(table, encoding="utf-8")
    assert main(["explain", str(path), "--model", model]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("factory", "message"),
    [("broken", "the factory is broken"), ("Breaks", "the model is broken")],
)
def test_what_a_users_code_raises_is_a_failure(
    factory: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"explain rows.npy --model {USER}:{factory}"
    assert main(shlex.split(line)) == 1
    assert capsys.readouterr().err == f"error: {message}\n"
    assert main(shlex.split(f"{line} --debug")) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.endswith(f"\nerror: {message}\n")
