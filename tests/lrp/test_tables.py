"""The tables of LRP: what a console and a notebook show of them."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from saliency import LRPCalculator
from saliency.lrp import Composite, Conservation, Epsilon
from tests.networks import CNN, build

TABLES = ["conservation", "assignment"]


class Cells(HTMLParser):
    """The texts of the cells of a table, row by row."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.rows = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert tag in self.tags

    def handle_data(self, data):
        if data.strip():
            self.rows[-1][-1] += data


def table(kind, rule="epsilon_plus"):
    calculator = LRPCalculator(build(CNN), rule=rule)
    return getattr(calculator, kind)(np.random.default_rng(0).normal(size=(2, 2, 6, 6)))


@pytest.mark.parametrize("kind", TABLES)
def test_a_console_shows_the_table(kind):
    assert repr(table(kind)) == str(table(kind))
    assert " at 0x" not in repr(table(kind))
    assert repr(table(kind)).startswith("layer")


@pytest.mark.parametrize("kind", TABLES)
def test_html_has_the_cells_of_the_text(kind):
    found = table(kind)
    cells = Cells(found._repr_html_())
    lines = str(found).splitlines()
    assert len(cells.rows) == len(lines)
    assert len({len(row) for row in cells.rows}) == 1
    for row, line in zip(cells.rows, lines):
        assert " ".join(" ".join(row).split()) == " ".join(line.split())


class Marked(Epsilon):
    """A rule whose name is no HTML."""

    def __repr__(self):
        return "<script>alert('1 & 2')</script>"


@pytest.mark.parametrize("kind", TABLES)
def test_html_shows_texts_as_they_are(kind):
    found = table(kind, Composite(Marked()))
    page = found._repr_html_()
    assert "<script" not in page
    cells = Cells(page)
    assert set(cells.tags) <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert "<script>alert('1 & 2')</script>" in {row[2] for row in cells.rows}


def test_an_account_of_nothing_is_a_table_too():
    cells = Cells(Conservation()._repr_html_())
    assert [row[1] for row in cells.rows] == ["function", "output"]
