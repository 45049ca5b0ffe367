"""Command lines of all examples: help with defaults, arguments checked before work."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

import saliency
from saliency import chainer_compat
from saliency.command_line import Parser, as_picture_to_write, as_ratio

import chainer

EXAMPLES = Path(saliency.__file__).parents[1] / "examples"
SCRIPTS = [
    path
    for path in sorted(EXAMPLES.rglob("*.py"))
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
]
# Of each option, a value that no script takes; {file} is a file that is there.
WRONG = {
    "--M": "0",
    "--batchsize": "0",
    "--class": "unicorn",
    "--data": "missing.csv",
    "--dataset": "unknown",
    "--device": "@unknown",
    "--digit": "10",
    "--dropout": "1",
    "--epoch": "-1",
    "--features": "missing.npz",
    "--fold": "1",
    "--folder": "missing",
    "--images": "0",
    "--iteration": "0",
    "--maps": "3",
    "--method": "unknown",
    "--mode": "unknown",
    "--model": "unknown",
    "--most": "many",
    "--n-explain": "0",
    "--n-member": "1",
    "--n-test": "1",
    "--n-train": "0",
    "--network": "unknown",
    "--out": "{file}/out.png",
    "--rule": "unknown",
    "--run": "1",
    "--seed": "-1",
    "--share": "1",
    "--shown": "0",
    "--split": "unknown",
    "--steps": "0",
    "--weights": "missing.npz",
}


@pytest.fixture(params=SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def script(request, monkeypatch, tmp_path):
    """The path and the ``main`` of a script."""
    monkeypatch.chdir(tmp_path)
    with loaded(request.param, monkeypatch) as main:
        yield request.param, main


@contextmanager
def loaded(path, monkeypatch):
    """Give the ``main`` of a script, which fails when it begins to work."""
    monkeypatch.syspath_prepend(str(path.parent))
    beside = {other.stem for other in path.parent.glob("*.py")}
    for name in beside & set(sys.modules):  # those of other folders have the same names
        monkeypatch.delitem(sys.modules, name)
    names = runpy.run_path(str(path))
    for place, name in (
        (chainer.serializers, "load_npz"),
        (chainer.training.Trainer, "run"),
        (chainer.optimizers.Adam, "setup"),
        (urllib.request, "urlopen"),
    ):
        monkeypatch.setattr(place, name, too_early)
    yield names["main"]
    for name in beside:
        sys.modules.pop(name, None)


def too_early(*args, **arguments):
    raise AssertionError("work has begun before the arguments are checked")


def call(script, monkeypatch, *arguments):
    """Return the status with which a script ends, and its parser of arguments."""
    path, main = script
    parsers = []
    parse_args = argparse.ArgumentParser.parse_args

    def recorded(self, *args, **others):
        parsers.append(self)
        return parse_args(self, *args, **others)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", recorded)
        patch.setattr(sys, "argv", [path.name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    return end.value.code, parsers[0]


def options_of(parser):
    return {a.option_strings[-1]: a for a in parser._actions if a.option_strings}


def test_there_are_scripts_in_every_folder():
    folders = {path.parent.name for path in SCRIPTS}
    assert folders == {"image", "lrp", "molecule", "table", "text"}


def test_help_shows_every_default_once(script, monkeypatch, capsys):
    status, parser = call(script, monkeypatch, "--help")
    shown = capsys.readouterr().out
    assert status == 0
    assert "None" not in shown
    options = options_of(parser)
    for name, action in options.items():
        if name == "--help":
            continue
        assert action.help, name
        start = shown.index(f"\n  {name} ")
        text = " ".join(re.split(r"\n\n|\n  -", shown[start + 1 :])[0].split())
        assert text.count("default") <= 1
        default = action.default
        if isinstance(default, list):
            default = " ".join(map(str, default))
        if default is not None and default is not False:
            assert text.endswith(f"(default: {default})"), text


def test_wrong_arguments_end_in_one_line_before_work(
    script, monkeypatch, capsys, tmp_path
):
    file = tmp_path / "file"
    file.touch()
    _, parser = call(script, monkeypatch, "--help")
    needed = needs_of(parser, tmp_path)
    capsys.readouterr()
    takes_value = [n for n, a in options_of(parser).items() if a.nargs != 0]
    for option in takes_value:
        wrong = WRONG[option].format(file=file)
        status, _ = call(script, monkeypatch, *needed, option, wrong)
        message = capsys.readouterr().err.splitlines()[-1]
        assert status == 2, option
        start = f"{script[0].name}: error: argument {option}"
        assert message.startswith(start), message
        assert wrong in message
    assert {path.name for path in tmp_path.iterdir()} <= {"file", "image.png"}


def needs_of(parser, folder):
    """Return what a script cannot do without: an image, where it wants one."""
    if not any(a.dest == "images" and not a.option_strings for a in parser._actions):
        return []
    Image.new("RGB", (32, 32)).save(folder / "image.png")
    return [folder / "image.png"]


class TestImages:
    """What is wrong with photographs, or with the class that is asked for."""

    @pytest.fixture
    def photograph(self, tmp_path):
        Image.new("RGB", (640, 427)).save(tmp_path / "photo.png")
        return tmp_path / "photo.png"

    @pytest.mark.parametrize("name", ["explain", "heatmaps"])
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "photo.png: there is no such file"),
            (b"text", "photo.png is not an image, or of an unknown kind"),
            (b"cut", "photo.png cannot be read: "),
            (b"", "640 x 427 pixels: the network of --model cifar is for the 32 x 32"),
        ],
    )
    def test_is_said_before_a_network_is_loaded(
        self, name, content, message, photograph, monkeypatch, capsys
    ):
        if content is None:
            photograph.unlink()
        elif content == b"cut":
            photograph.write_bytes(photograph.read_bytes()[:200])
        elif content:
            photograph.write_bytes(content)
        script = EXAMPLES / "image" / f"{name}.py"
        with loaded(script, monkeypatch) as main:
            arguments = [photograph, "--model", "cifar"]
            status, _ = call((script, main), monkeypatch, *arguments)
        assert status == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


class TestParser:
    @pytest.fixture
    def parser(self):
        parser = Parser("What it does.\n\nMore of it.")
        parser.add_common_arguments(out="results/of 100%")
        return parser

    def test_its_help(self, parser, capsys):
        parser.add_argument("--sizes", type=int, nargs="+", default=[2, 3], help="some")
        parser.add_argument("--name", help="of no default")
        parser.add_argument("--fast", action="store_true", help="a flag")
        with pytest.raises(SystemExit):
            parser.parse_args(["--help"])
        shown = " ".join(capsys.readouterr().out.split())
        assert "What it does." in shown
        assert "More of it" not in shown
        assert "--sizes SIZES [SIZES ...] some (default: 2 3)" in shown
        assert "--name NAME of no default --fast a flag" in shown
        assert "folder to write into (default: results/of 100%)" in shown

    def test_defaults_are_of_the_types_of_arguments(
        self, parser, monkeypatch, tmp_path
    ):
        monkeypatch.chdir(tmp_path)
        args = parser.parse_args([])
        assert args.device == chainer.get_device("@numpy")
        assert args.out == Path("results/of 100%")
        assert args.seed == 0
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("text", ["-1", "4294967296", "one", "1.5"])
    def test_seeds_are_those_of_numpy(self, parser, text, capsys):
        refused(parser, "--seed", text)
        message = "must be a whole number from 0 to 4294967295, got "
        assert message + repr(text) in capsys.readouterr().err

    def test_a_gpu_that_cannot_be_used(self, parser, monkeypatch, capsys):
        monkeypatch.setattr(chainer, "get_device", lambda text: gpu)
        gpu = object.__new__(chainer.backend.GpuDevice)
        monkeypatch.setattr(chainer_compat, "gpu_problem", lambda: "no driver")
        refused(parser, "--device", "@cupy:0")
        assert "'@cupy:0' cannot be used here: no driver" in capsys.readouterr().err
        monkeypatch.setattr(chainer_compat, "gpu_problem", lambda: None)
        assert parser.parse_args(["--device", "@cupy:0"]).device is gpu

    def test_a_folder_that_is_read_only(self, parser, monkeypatch, tmp_path, capsys):
        # Root may write everywhere.
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        refused(parser, "--out", str(tmp_path / "a" / "b"))
        assert f"write into: {tmp_path} is read-only" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("heat.txt", "heat.txt must end with one of "),
            ("heat", "heat must end with one of "),
            ("folder.png", "folder.png is a folder; add the name of the picture"),
            ("file.png/heat.png", "heat.png cannot be written: "),
            ("file.png", ""),
            ("new/heat.PNG", ""),
        ],
    )
    def test_pictures(self, name, message, tmp_path, capsys):
        (tmp_path / "file.png").touch()
        (tmp_path / "folder.png").mkdir()
        parser = Parser("Draws.")
        parser.add_common_arguments("heat.png", as_picture_to_write, "picture")
        if message:
            refused(parser, "--out", str(tmp_path / name))
            assert message in capsys.readouterr().err
        else:
            path = tmp_path / name
            assert parser.parse_args(["--out", str(path)]).out == path
        assert {path.name for path in tmp_path.iterdir()} == {"file.png", "folder.png"}

    @pytest.mark.parametrize("text", ["1", "-0.1", "nan", "half"])
    def test_ratios(self, text, capsys):
        parser = Parser("Drops.")
        parser.add_argument("--ratio", type=as_ratio, default=0.5, help="of dropout")
        refused(parser, "--ratio", text)
        assert "must be a number from 0 to below 1, got" in capsys.readouterr().err
        assert parser.parse_args(["--ratio", "0"]).ratio == 0


def refused(parser, *arguments):
    with pytest.raises(SystemExit) as end:
        parser.parse_args(arguments)
    assert end.value.code == 2
