"""The documentation site: complete, without dead links, and of files of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import link_hooks
import saliency
from saliency.metrics import truths
from tests.makefile import make, needs_make

ROOT = Path(saliency.__file__).parents[1]
API = ROOT / "docs" / "api"
PUBLIC = {f"saliency.{name}" for name in ("Explanation", *saliency._MODULES)}
#: What a browser fetches by itself when it shows a page, by tag and attribute.
FETCHED = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("object", "data"),
    ("use", "href"),
}


class Page(HTMLParser):
    """The anchors of a page, where it leads to, and what a browser fetches for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.fetched: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (tag, name) == ("a", "name"):
                self.anchors.add(value or "")
            elif (tag, name) == ("a", "href"):
                self.links.add(value or "")
            elif (tag, name) in FETCHED and ("rel", "canonical") not in attrs:
                self.fetched.add(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("sphinx", "furo", "myst_nb"):
        pytest.importorskip(name, reason="The site is built with pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    # The notebooks have a test of their own.
    done = make(
        *("docs", folder / "venv"),
        *(f"SITE={folder / 'site'}", "ARGS=-D nb_execution_mode=off"),
    )
    assert done.returncode == 0, done.stderr.decode()
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def local_links(page: Page) -> Iterator[tuple[Path, str]]:
    """Yield the files that a page leads to, with the anchor in each."""
    for link in page.links | page.fetched:
        parts = urlsplit(link)
        if not parts.scheme:
            target = page.path.parent / unquote(parts.path) if parts.path else page.path
            yield target.resolve(), unquote(parts.fragment)


def test_every_public_name_is_in_the_reference() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in API.glob("*.rst"))
    described = set(re.findall(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)", text, re.MULTILINE))
    hooks = {f"saliency.{name}" for name in link_hooks.__all__ if name[0].isupper()}
    rules = {f"saliency.lrp.{name}" for name in saliency.lrp.__all__}
    training = {f"saliency.training.{name}" for name in saliency.training.__all__}
    metrics = {f"saliency.metrics.{name}" for name in saliency.metrics.__all__}
    metrics |= {f"saliency.metrics.truths.{name}" for name in truths.__all__}
    assert PUBLIC | hooks | training | metrics <= described
    assert rules - described == {"saliency.lrp.PRESETS"}
    assert "saliency.lrp.composites.PRESETS" in described


@needs_make
@pytest.mark.large
def test_the_site_has_an_entry_for_every_public_name(
    site: Path, pages: dict[Path, Page]
) -> None:
    anchors = set().union(*(page.anchors for page in pages.values()))
    assert anchors >= PUBLIC
    assert (site / "docs" / "index.html") in pages


@needs_make
@pytest.mark.large
def test_links_within_the_site_lead_somewhere(pages: dict[Path, Page]) -> None:
    dead = []
    for page in pages.values():
        for target, anchor in local_links(page):
            known = pages.get(target)
            is_there = target.exists() and (
                known is None or not anchor or anchor in known.anchors
            )
            if not is_there:
                dead.append(f"{page.path.name}: {target.name}#{anchor}")
    assert not dead


@needs_make
@pytest.mark.large
def test_a_page_is_shown_without_a_request_to_another_server(
    site: Path, pages: dict[Path, Page]
) -> None:
    fetched = {url for page in pages.values() for url in page.fetched}
    assert len(fetched) > 20
    assert not [url for url in fetched if urlsplit(url).scheme not in ("", "data")]
    assert not [url for url in fetched if url.startswith("//")]
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        urls = re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')]+)""", text)
        assert not urls, path
    for path in site.rglob("*.js"):
        # Namespaces and comments are no requests.
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r"(?:fetch|import|open)\(\s*[\"'`]https?:", text), path
