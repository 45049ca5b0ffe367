"""What is uploaded to a package index is complete, and installs as the README says."""

from __future__ import annotations

import datetime
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import saliency

ROOT = Path(saliency.__file__).parents[1]
BUILD = (
    "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
)


def files_of_the_repository() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no clone with git")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The folder that the source distribution of this repository unpacks to."""
    # The first that reads the licence as pyproject.toml gives it.
    pytest.importorskip("setuptools", minversion="77")
    work = tmp_path_factory.mktemp("sdist")
    copy = work / "copy"
    for name in files_of_the_repository():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    subprocess.run(
        [sys.executable, "-c", BUILD, str(work)],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (path,) = work.glob("*.tar.gz")
    with tarfile.open(path) as file:
        if hasattr(tarfile, "data_filter"):
            file.extractall(work, filter="data")
        else:
            file.extractall(work)
    return work / path.name[: -len(".tar.gz")]


@pytest.fixture(scope="module")
def metadata(sdist) -> Message:
    return Parser().parsestr((sdist / "PKG-INFO").read_text(encoding="utf-8"))


@pytest.mark.large
def test_the_source_distribution_is_the_repository(sdist):
    assert sdist.name == f"chainer_saliency-{saliency.__version__}"
    packed = {str(p.relative_to(sdist)) for p in sdist.rglob("*") if p.is_file()}
    assert packed >= {*files_of_the_repository()} - {".gitignore"}
    made = packed - {*files_of_the_repository()}
    assert {name.split("/")[0] for name in made} == {
        *("PKG-INFO", "setup.cfg", "chainer_saliency.egg-info")
    }
    assert (sdist / "docs" / "first.png").read_bytes() == (
        ROOT / "docs" / "first.png"
    ).read_bytes()


@pytest.mark.large
def test_the_description_stands_alone(metadata):
    page = metadata.get_payload()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert metadata["Description-Content-Type"] == "text/markdown"
    without_code = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    assert re.findall(r"\]\((?!https://)[^)]*\)", without_code) == []
    assert "Picture docs/first.png in the source distribution" in page
    # Nothing else is lost: all code, and all words but for addresses.
    blocks = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    assert blocks.findall(page) == blocks.findall(readme)
    assert page.count("\n## ") == readme.count("\n## ") > 3


@pytest.mark.large
def test_what_an_index_is_told(metadata):
    keywords = metadata["Keywords"].split(",")
    assert {"LRP", "ONNX", "scikit-learn", "chainer"} <= {*keywords}
    pythons = [
        text.rsplit(" ", 1)[1]
        for text in metadata.get_all("Classifier")
        if text.startswith("Programming Language :: Python :: 3.")
    ]
    assert pythons == [f"3.{minor}" for minor in range(9, 15)]
    assert metadata["License-Expression"] == "MIT"


@pytest.mark.large
def test_every_extra_is_described(metadata):
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = "\n".join(re.findall(r"^\| (`.+`) \|", page, re.MULTILINE))
    assert {*re.findall(r"`(.+?)`", rows)} == {*metadata.get_all("Provides-Extra")}


def test_the_changelog_says_when_this_version_was_released():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \((.+)\)$", changelog, re.MULTILINE)
    assert newest is not None
    version, date = newest.groups()
    if date == "unreleased":
        assert saliency.__version__ == f"{version}.dev0"
    else:
        assert saliency.__version__ == version
        assert re.findall(r"^date-released: (.+)$", citation, re.MULTILINE) == [date]
        assert datetime.date.fromisoformat(date)


Run = Callable[[str, Path], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def typed(tmp_path) -> Run:
    """What runs a command in a folder, with a new environment that is activated."""
    venv.create(tmp_path / "venv", with_pip=True)
    search_path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    # Of what pip installs, that is compiled which is imported.
    environment.update(PATH=search_path, MPLBACKEND="Agg", PIP_COMPILE="0")

    def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    if run("python3 -m pip download --no-deps packaging", tmp_path).returncode:
        pytest.skip("pip reaches no package index")
    return run


def draw_first(typed: Run, python: str, folder: Path) -> None:
    """Run the first code of the README, and look for its picture."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert first is not None
    (folder / "first.py").write_text(first[1], encoding="utf-8")
    drawn = typed(f"{python} first.py", folder)
    assert drawn.returncode == 0, drawn.stderr
    assert (folder / "first.png").stat().st_size > 10_000


every_start = pytest.mark.skipif(
    not os.environ.get("EVERY_START"),
    reason="takes a minute: these commands are typed with EVERY_START=1",
)


def install(typed: Run, sdist: Path, extras: str) -> None:
    """Type the line of the README, with these extras."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^PIP_CONSTRAINT=.+ python3 -m pip install .+$", readme, re.M)
    assert "[examples]" in line
    done = typed(line.replace("[examples]", extras), sdist)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.large
def test_the_line_of_the_readme_installs_the_source_distribution(
    sdist, typed, tmp_path
):
    install(typed, sdist, "[examples]")
    draw_first(typed, "python3", tmp_path)


@every_start
@pytest.mark.large
def test_the_commands_of_the_readme_from_nothing(sdist, typed, tmp_path):
    install(typed, sdist, "[examples,molecule,tables]")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## From the command line\n")[2]
    commands = re.search(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert commands is not None
    done = typed(commands[1], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "aspirin" / "molecules.png").is_file()
    assert (tmp_path / "explained" / "beeswarm.png").is_file()


@every_start
@pytest.mark.large
@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_the_lines_for_uv_install_the_source_distribution(page, sdist, typed, tmp_path):
    if typed("python3 -m pip install uv", tmp_path).returncode:
        pytest.skip("uv cannot be installed here")
    text = (ROOT / page).read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```(?:bash|sh)\n(uv .*?)^```", text, re.DOTALL | re.M)
    copy = tmp_path / "copy"  # the environment is made in this folder
    shutil.copytree(sdist, copy)
    done = typed(lines, copy)
    if re.search("Failed to fetch|client error|dns error", done.stderr):
        pytest.skip("uv reaches no package index")
    assert done.returncode == 0, done.stderr
    (python,) = copy.glob("*env/bin/python")
    if page == "README.md":
        draw_first(typed, str(python), tmp_path)
    else:
        code = "import saliency, chainer; print(chainer.__version__)"
        assert typed(f"{python} -c '{code}'", tmp_path).stdout == "7.8.1\n"
