"""Pages of reports in Chromium, by mouse and by keys. One browser opens all of them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from saliency import Explanation, write_report
from saliency.report.palette import style_variables
from saliency.visualizer.texts.pages import score_colors
from tests.report import explained
from tests.report.browser import browser_problem, complaints, opened_browser
from tests.report.explained import EVIL

# To start a browser takes as long as hundreds of quick tests.
pytestmark = [
    pytest.mark.large,
    pytest.mark.skipif(bool(browser_problem()), reason=browser_problem()),
]

Show = Callable[..., Any]


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with opened_browser() as driver:
        yield driver


@pytest.fixture
def show(driver: Any, tmp_path: Path) -> Iterator[Show]:
    """Writes a report and opens it; in the end nothing was wrong on the page."""

    def open_report(given: Any, width: int = 1300, **texts: Any) -> Any:
        write_report(tmp_path / "report.html", given, **texts)
        driver.set_window_size(width, 900)
        driver.get((tmp_path / "report.html").as_uri())
        return driver

    yield open_report
    assert complaints(driver) == []


def all_of(page: Any, css: str) -> list[Any]:
    return page.find_elements("css selector", css)


def one_of(page: Any, css: str) -> Any:
    return all_of(page, css)[0]


def texts_of(page: Any, css: str) -> list[str]:
    return [node.text for node in all_of(page, css)]


def wait_for(page: Any, condition: str, *arguments: Any) -> Any:
    """Return what JavaScript gives as soon as it is true."""
    waiting = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
    return waiting(page, 10, poll_frequency=0.05).until(
        lambda driver: driver.execute_script(f"return {condition}", *arguments)
    )


def press(page: Any, node: Any, *keys: str) -> None:
    names = pytest.importorskip("selenium.webdriver").Keys
    page.execute_script("arguments[0].focus()", node)
    for key in keys:
        page.switch_to.active_element.send_keys(getattr(names, key, key))


def hover(page: Any, node: Any, x: int = 0, y: int = 0) -> None:
    """Move the mouse to a point, counted from the middle of an element."""
    page.execute_async_script(
        "arguments[0].scrollIntoView({block: 'center'});"
        "requestAnimationFrame(() => requestAnimationFrame(arguments[1]))",
        node,
    )
    chains = pytest.importorskip("selenium.webdriver").ActionChains
    chains(page, 0).move_to_element_with_offset(node, x, y).perform()


def number_in(text: str) -> float:
    found = re.search(r"[+\N{MINUS SIGN}]?\d[\d.]*(e\N{MINUS SIGN}?\d+)?", text)
    assert found is not None, text
    return float(found[0].replace("\N{MINUS SIGN}", "-"))


def unusual() -> dict[str, Explanation]:
    rng = np.random.default_rng(0)
    of_classes = {"classes": np.tile([2, 0], (2, 1)), "class_names": ["a", "b", "c"]}
    maps, ones = rng.normal(size=(2, 2, 8, 8)), np.ones((2, 2))
    chain = rng.normal(size=(1, 400))
    return {
        "one number": Explanation(np.array([0.5])),
        "one row": explained.table(1),
        "zeros": Explanation(np.zeros((3, 2)), scores=np.zeros(3)),
        "many features": Explanation(rng.normal(size=(3, 60)), scores=np.ones(3)),
        "missing values": Explanation(ones, data=np.full((2, 2), np.nan)),
        "infinite scores": Explanation(ones, scores=[np.inf, 1]),
        "magnitudes": Explanation(
            np.ones((2, 2)), errors=np.ones((2, 2)), method="abs"
        ),
        "maps of classes": Explanation(maps, images=np.ones((2, 9, 9)), **of_classes),
        "maps of zeros": Explanation(np.zeros((2, 8, 8)), images=np.ones((2, 9, 9))),
        "maps by themselves": Explanation(maps, data=maps - 3),
        "tokens of classes": Explanation(
            np.ones((2, 2, 1)), element_names=[["a"], ["b"]], **of_classes
        ),
        "no tokens": Explanation(np.full((1, 1), np.nan), element_names=[[]]),
        "no atoms": Explanation(np.full((1, 1), np.nan), molecules=[""]),
        "an ion": Explanation(np.ones((1, 1)), molecules=["[Na+]"]),
        "a large molecule": Explanation(chain, molecules=["C" * 400]),
    }


class TestTables:
    def test_the_list_sorts_and_filters(self, show):
        given = explained.table()
        page = show(given)
        assert len(all_of(page, ".list tbody tr")) == 30
        (sort,) = (b for b in all_of(page, ".list .sort") if b.text == "f(x)")
        sort.click()
        names = texts_of(page, ".list tbody th")
        order = np.argsort(-given.scores, kind="stable")
        assert names == [f"flower {i}" for i in order]
        head = one_of(page, ".list th[aria-sort]")
        assert head.get_attribute("aria-sort") == "descending"
        sort.click()
        assert texts_of(page, ".list tbody th") == names[::-1]

        one_of(page, "input[type=search]").send_keys("petal > 0.5, flower 1")
        expected = {
            f"flower {i}"
            for i in range(30)
            if given.data[i, 0] > 0.5 and str(i).startswith("1")
        }
        wait_for(page, "document.querySelectorAll('.list tbody tr').length < 30")
        assert {*texts_of(page, ".list tbody th")} == expected
        assert f"{len(expected)} of 30" in one_of(page, "#examples .count").text

    def test_conditions_on_names_with_commas(self, show):
        given = explained.table(
            title=" length, in cm, if < 9"
        )  # as CSV files have them
        page = show(given)
        field = one_of(page, "input[type=search]")
        for text, is_shown in (
            ("Length, in cm, if < 9 > 0.5", given.data[:, 0] > 0.5),
            (
                "width < 0, length, in cm, if < 9 > 0.5, flower 1",
                (given.data[:, 0] > 0.5)
                & (given.data[:, 1] < 0)
                & np.array(["flower 1" in name for name in given.index]),
            ),
        ):
            field.clear()
            field.send_keys(text)
            count = f"{is_shown.sum()} of 30 examples"
            has_it = "document.querySelector('#examples .count').textContent"
            wait_for(page, f"{has_it} === arguments[0]", count)
            expected = set(np.array(given.index)[is_shown])
            assert {*texts_of(page, ".list tbody th")} == expected

    def test_numbers_are_equal_to_what_is_written_of_them(self, show):
        scores = [np.float32(0.3), 0.3001, 20240131, 20240132]
        given = dataclasses.replace(explained.table(4), scores=np.array(scores, "d"))
        page = show(given)
        field = one_of(page, "input[type=search]")
        for text, name in (("f(x) = 0.3", 0), ("f(x) = 20240132", 3)):
            field.clear()
            field.send_keys(text)
            cells = "[...document.querySelectorAll('.list tbody th')]"
            shown = f"{cells}.map((cell) => cell.textContent).join() === arguments[0]"
            wait_for(page, shown, f"flower {name}")

    def test_filters_name_what_they_know(self, show):
        hint = ".tools .hint"
        assert one_of(show(explained.table()), hint).text == (
            "words, f(x) > 0.5, or height > 1"
        )
        bare = dataclasses.replace(explained.table(), data=None, scores=None)
        assert one_of(show(bare), hint).text == "words"
        assert one_of(show(explained.images()), hint).text == "words, or f(x) > 0.5"

    def test_a_waterfall_by_keys(self, show):
        given = explained.table()
        page = show(given)
        press(page, one_of(page, ".list tbody button"), "ARROW_DOWN", "ARROW_DOWN")
        assert page.switch_to.active_element.text == "flower 2"
        assert one_of(page, ".detail h3").text == "flower 2"
        rows = texts_of(page, ".bars tbody tr")
        assert rows[0].startswith("f(x)")
        assert rows[-1].startswith("base value")
        order = np.argsort(-abs(given.values[2]))
        names = [given.feature_names[k] for k in order]
        assert [row.split()[0] for row in rows[1:-1]] == names
        for row, k in zip(rows[1:-1], order):
            score = number_in(row.split()[-1])
            assert score == pytest.approx(given.values[2, k], rel=5e-3)
        # The bars stand on each other: each begins where the one below ends.
        boxes = [node.rect for node in all_of(page, ".bars .fill")]
        ends = [
            (box["x"], box["x"] + box["width"])[:: 1 if given.values[2, k] > 0 else -1]
            for box, k in zip(boxes, order)
        ]
        for (start, _), (_, end) in zip(ends, ends[1:]):
            assert start == pytest.approx(end, abs=1.5)

    def test_whole_values_have_all_their_digits(self, show):
        data = np.array([[94913, -20240131, 0.123456]])
        page = show(dataclasses.replace(explained.table(1), data=data))
        cells = texts_of(page, ".bars tbody tr:not(.total) td:nth-child(2)")
        assert {*cells} == {"94913", "\N{MINUS SIGN}20240131", "0.1235"}

    def test_scores_have_all_their_whole_digits(self, show):
        values = np.array([[999.6, 1234, -52_340_000]])
        page = show(dataclasses.replace(explained.table(1), values=values))
        cells = texts_of(page, ".bars tbody tr:not(.total) td:last-child")
        assert {"+1,000", "+1,234", "\N{MINUS SIGN}52,340,000"} <= {*cells}
        assert "(+1234)" in one_of(page, ".answer").text

    def test_points_tell_their_example_and_choose_it(self, show):
        page = show(explained.table(3))
        canvas = wait_for(page, "document.querySelector('canvas.swarm')")
        wait_for(page, "arguments[0].places !== undefined", canvas)
        place = page.execute_script(
            "const p = arguments[0].places.find(({i}) => i === 2);"
            "return [p.x - arguments[0].clientWidth / 2,"
            " p.y - arguments[0].clientHeight / 2]",
            canvas,
        )
        hover(page, canvas, *map(round, place))
        assert one_of(page, "#tip").text.startswith("flower 2")
        canvas_of = pytest.importorskip("selenium.webdriver").ActionChains
        canvas_of(page, 0).click().perform()
        assert one_of(page, ".detail h3").text == "flower 2"

    def test_classes_are_chosen(self, show):
        values = np.random.default_rng(0).normal(size=(5, 2, 3))
        given = Explanation(
            values, classes=np.tile([0, 1], (5, 1)), class_names=["no", "yes"]
        )
        page = show({"one": given, "other": given})
        choice = one_of(page, "#choices select")
        choice.send_keys("yes")
        row = one_of(page, ".means tbody tr").text
        strength = abs(values[:, 1]).mean(axis=0)
        assert number_in(row[2:]) == pytest.approx(strength.max(), rel=5e-3)
        assert len(all_of(page, ".detail h4")) == 2


class TestImages:
    def test_the_mouse_tells_scores(self, show):
        given = explained.images()
        page = show({"one": given, "other": dataclasses.replace(given)})
        stages = wait_for(
            page,
            "((found) => found.length === 6 && found)"
            "([...document.querySelectorAll('.stage[data-ready]')])",
        )
        stage = stages[0]
        width = stage.rect["width"]
        x, y = (10.5 / 24 - 0.5) * width, (17.5 / 24 - 0.5) * width
        hover(page, stage, round(x), round(y))
        card = one_of(page, ".card")
        first, second = [text for text in texts_of(card, ".reading") if text.strip()]
        step = float(given.values[0].max()) / 127
        assert number_in(first) == pytest.approx(given.values[0, 17, 10], abs=step)
        assert first == second  # the same place in all maps
        assert first.endswith("at (10, 17)")

    def test_keys_tell_scores(self, show):
        given = explained.images()
        page = show(given[1])
        stage = wait_for(page, "document.querySelector('.stage[data-ready]')")
        press(page, stage, "HOME")
        reading = one_of(page, ".reading")
        assert number_in(reading.text) == pytest.approx(2, rel=1e-3)
        assert reading.text.endswith("at (7, 6)")
        press(page, stage, "ARROW_RIGHT", "ARROW_DOWN")
        assert reading.text.endswith("at (8, 7)")
        expected = given.values[1, 7, 8]
        assert number_in(reading.text) == pytest.approx(expected, abs=2 / 127)

    def test_the_slider_changes_the_opacity(self, show):
        page = show(explained.images(1))
        stage = wait_for(page, "document.querySelector('.stage[data-ready]')")
        canvas, slider = one_of(stage, "canvas"), one_of(page, "input[type=range]")
        assert canvas.value_of_css_property("opacity") == "0.85"
        press(page, slider, "HOME")
        assert canvas.value_of_css_property("opacity") == "0"
        press(page, slider, "END")
        assert canvas.value_of_css_property("opacity") == "1"

    def test_maps_are_as_wide_as_their_photographs(self, show):
        wide = np.zeros((1, 30, 60, 3), np.uint8)
        page = show(Explanation(np.ones((1, 8, 8)), images=wide))
        box = wait_for(page, "document.querySelector('[data-ready] canvas')").rect
        assert box["width"] / box["height"] == pytest.approx(2, rel=0.01)

    def test_colours_are_those_of_the_scores(self, show):
        page = show(explained.images(1))
        canvas = wait_for(page, "document.querySelector('[data-ready] canvas')")
        red, green, blue, opacity = page.execute_script(
            "return [...arguments[0].getContext('2d').getImageData(7, 5, 1, 1).data]",
            canvas,
        )
        assert (f"#{red:02x}{green:02x}{blue:02x}", opacity) == ("#d7302f", 255)


class TestElements:
    def test_atoms_and_letters_belong_together(self, show):
        page = show(explained.molecules(), title="Atoms")
        card = one_of(page, ".card")
        letters = wait_for(
            page,
            "[...document.querySelectorAll('.card')][0].querySelectorAll('.token')",
        )
        assert [letter.text for letter in letters][:4] == ["C", "C", "O", "O"]
        # The third atom is =O: neither C nor the ring.
        target = all_of(card, ".target")[2]
        hover(page, target)
        assert "marked" in letters[2].get_attribute("class")
        assert "O (atom 2): +0.500" in one_of(card, ".reading").text
        assert one_of(page, "#tip").text == "O (atom 2): +0.500"
        press(page, letters[0], "ARROW_RIGHT")
        assert "C (atom 1): +0.750" in one_of(card, ".reading").text
        marked = ["marked" in n.get_attribute("class") for n in all_of(card, ".halo")]
        assert [k for k, is_so in enumerate(marked) if is_so] == [1]
        assert letters[1].get_attribute("aria-selected") == "true"

    def test_tokens_have_their_colours_and_scores(self, show):
        page = show(explained.texts())
        tokens = wait_for(
            page,
            "[...document.querySelectorAll('.card')][0].querySelectorAll('.token')",
        )
        expected = score_colors(np.array([0, 1, -0.5]))
        for token, color in zip(tokens, expected):
            shown = token.value_of_css_property("background-color")
            found = np.array(re.findall(r"\d+", shown)[:3], float) / 255
            np.testing.assert_allclose(found, color, atol=0.03)
        assert tokens[1].get_attribute("aria-label") == "good: +2.00 ± 0.500"
        hover(page, tokens[2])
        assert one_of(page, "#tip").text == "film0: −1.00 ± 0.250"  # noqa: RUF001
        one_of(page, "input[type=search]").send_keys("film2")
        wait_for(page, "document.querySelectorAll('.card').length === 1")
        assert one_of(page, ".card h3").text == "example 2"

    def test_the_scale_of_a_text_without_words(self, show):
        given = Explanation(
            np.array([[np.nan, np.nan], [1.0, -2.0]]), element_names=[[], ["a", "b"]]
        )
        page = show(given)
        (choice,) = (
            node for node in all_of(page, "select") if "each example" in node.text
        )
        choice.send_keys("each")
        wait_for(page, "document.querySelectorAll('.card .key').length === 2")
        empty, other = texts_of(page, ".card .key")
        assert "Infinity" not in empty
        assert "\N{MINUS SIGN}2.00" in other


class TestPages:
    @pytest.mark.parametrize("kind", explained.all_kinds())
    def test_dark_and_narrow(self, show, kind):
        page = show(explained.all_kinds()[kind], width=520)
        widths = "const {scrollWidth, clientWidth} = document.documentElement;"
        assert page.execute_script(f"{widths} return scrollWidth <= clientWidth")
        body = one_of(page, "body")
        light = body.value_of_css_property("background-color")
        button = one_of(page, "#theme")
        press(page, button, "ENTER")
        dark = body.value_of_css_property("background-color")
        assert sum(map(int, re.findall(r"\d+", dark)[:3])) < 150
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
        assert body.value_of_css_property("background-color") == light

    @pytest.mark.parametrize("width", [500, 700, 900, 1300])
    def test_a_command_line_breaks_between_words(self, show, width):
        words = ["python", *["--method", "integrated-gradients"] * 6, "two  spaces"]
        page = show(explained.table(), width, command=words)
        shown = all_of(page, ".command span")
        assert [one.text for one in shown] == [*words[:-1], "'two  spaces'"]
        heights = {round(one.rect["height"]) for one in shown}
        assert len(heights) == 1  # each is in one line
        assert one_of(page, ".command").rect["height"] > 1.5 * heights.pop()

    def test_the_system_may_be_dark(self, show, driver):
        feature = {"name": "prefers-color-scheme", "value": "dark"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        try:
            page = show(explained.texts())
            token = wait_for(page, "document.querySelector('.token')")
            # It is that of a score of 0, which has the colour of the ground.
            for theme in ("dark", "light"):
                shown = token.value_of_css_property("background-color")
                found = to_hex(np.array(re.findall(r"\d+", shown)[:3], float) / 255)
                assert found == style_variables()[theme]["ground"]
                one_of(page, "#theme").click()
        finally:
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    @pytest.mark.parametrize("name", ["table", "image", "text"])
    def test_what_the_user_says_does_not_run(self, show, name):
        given = explained.all_kinds()[name]
        n = len(given)
        evil = dataclasses.replace(
            given,
            index=np.array([EVIL] * n),
            class_names=[EVIL, "other"],
            classes=np.arange(n) % 2,
            feature_names=given.feature_names and [EVIL, "b", "c"],
            element_names=given.element_names
            and [[EVIL, *text[1:]] for text in given.element_names],
        )
        page = show({EVIL: evil, "b": evil}, title=EVIL, description=EVIL)
        assert page.title == one_of(page, "h1").text == EVIL
        wait_for(page, "document.querySelector('.card .body > *, .detail h3')")
        assert one_of(page, ".card h3, .detail h3").text == EVIL
        assert page.execute_script("return window.stolen") is None
        assert all_of(page, "img[onerror]") == []

    @pytest.mark.parametrize("name", unusual())
    def test_unusual_ones_open(self, show, name):
        page = show(unusual()[name])
        assert wait_for(page, "document.querySelector('.card .body > *, .detail h3')")
        for choice in all_of(page, "select"):
            press(page, choice, "ARROW_DOWN")

    def test_every_control_has_a_name(self, show):
        for given in explained.all_kinds().values():
            page = show(given)
            names = page.execute_script(
                "return [...document.querySelectorAll("
                "'button, select, input, [tabindex]')].map((node) => node.labels?.[0]"
                "?.textContent || node.ariaLabel || node.textContent.trim()"
                " || node.getAttribute('aria-labelledby'))"
            )
            assert len(names) > 3
            assert all(names)

    def test_only_examples_near_the_screen_are_there(self, show):
        page = show(explained.texts(400))
        wait_for(page, "document.querySelector('.token')")
        assert len(all_of(page, ".card")) == 400
        assert len(all_of(page, ".token")) < 200
        page.execute_script("arguments[0].scrollIntoView()", all_of(page, ".card")[-1])
        wait_for(page, "document.querySelector('.card:last-child .token')")
        assert len(all_of(page, ".token")) < 200
