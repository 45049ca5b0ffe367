"""How the command line starts: at once, and by both of its names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import saliency
from saliency.commands import COMMANDS, arguments, main
from saliency.models import photographs

#: What a script says that pip makes of the entry point.
SCRIPT = """
import sys
from saliency.commands import main
code = main(sys.argv[1:])
print("chainer" in sys.modules, "matplotlib" in sys.modules)
sys.exit(code)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    root = Path(saliency.__file__).parents[1]
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_help_of_the_script_waits_for_no_chainer(tmp_path: Path) -> None:
    script = tmp_path / "chainer-saliency"
    script.write_text(SCRIPT, encoding="utf-8")
    done = run(sys.executable, str(script), "explain", "--help")
    assert done.returncode == 0, done.stderr
    *_, loaded = done.stdout.splitlines()
    assert loaded == "False False"
    assert done.stdout.startswith("usage: chainer-saliency explain DATA")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="this is told from 3.10 on")
def test_help_of_the_module_waits_for_no_chainer() -> None:
    done = run(sys.executable, "-X", "importtime", "-m", "saliency", "--help")
    assert done.returncode == 0
    assert "numpy" in done.stderr
    assert "chainer" not in done.stderr.replace("chainer_saliency", "")
    assert done.stdout.startswith("usage: python -m saliency ")


@pytest.mark.large
def test_the_module_explains(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    words = ["explain", "CCO", "--model", "logp-ggnn", "--out", str(tmp_path)]
    done = run(sys.executable, "-m", "saliency", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "CCO: f(x) = " in done.stdout
    assert (tmp_path / "molecules.png").is_file()


@pytest.mark.large
def test_the_module_of_another_package_has_chainer_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the command line itself does without: here "saliency" is an argument."""
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("import saliency\nimport chainer\n")
    (package / "__main__.py").write_text('print("it runs")\n')
    monkeypatch.chdir(tmp_path)
    done = run(sys.executable, "-m", "mine", "saliency")
    assert (done.returncode, done.stdout) == (0, "it runs\n"), done.stderr


def test_no_command_is_a_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {name}" in shown for name in COMMANDS)


def test_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{saliency.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_described(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "None" not in shown
    assert "default: )" not in shown
    assert max(map(len, shown.splitlines())) <= 88


def test_options_list_the_networks_and_preparations_that_there_are() -> None:
    # They are written there again, since help waits for no Chainer.
    assert {*arguments.NETWORKS} == {*photographs.LAST_CONVOLUTIONS, "logp-ggnn"}
    assert {*arguments.PREPARATIONS} == {*photographs.PREPARATIONS}
