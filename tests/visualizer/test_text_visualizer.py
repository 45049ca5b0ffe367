"""Pictures of texts: their content, their colours, escaping, and files."""

from __future__ import annotations

import re
import warnings
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose
from PIL import Image

from saliency import (
    TextVisualizer,
    abs_max_scaler,
    diverging_cmap,
    min_max_scaler,
)
from saliency.visualizer.colors import NEUTRAL_COLOR
from saliency.visualizer.texts.lines import Letters, compute_layout
from saliency.visualizer.texts.pages import GREY, compute_page, text_color, visible
from tests.visualizer.conftest import JAPANESE

TOKENS = ["not", "at", "all", "good"]
SCORES = np.array([-2.0, 0.0, 0.5, 1.0])
EVIL = [
    "<script>alert(1)</script>",
    "&amp;",
    '"quoted"',
    "$x^2$",
    r"$\foo$",
    r"\$",
    "'",
]


def page_of(saliency=SCORES, tokens=TOKENS, **how):
    defaults = {
        "scaler": None,
        "title": None,
        "legends": None,
        "scale": "separate",
        "percentile": 100.0,
        "limit": None,
        "errors": None,
        "separator": " ",
        "show_key": True,
        "key_labels": None,
    }
    return compute_page(saliency, tokens, **{**defaults, **how})


def passages_of(*args, **how):
    return [p for text in page_of(*args, **how).texts for p in text.passages]


def shown(figure) -> list[str]:
    """Returns all texts on the axes, from the top down and from the left."""
    return [text.get_text() for text in figure.axes[0].texts]


class Spans(HTMLParser):
    """Collects the elements of a document, each with its style and its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags, self.found, self.texts = set(), [], []
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        self.texts.append(data)
        if self.found:
            self.found[-1][2] += data

    @property
    def tokens(self):
        """Text, ground, colour and score of each token."""
        found = []
        for _, attrs, text in self.found:
            if "title" in attrs:
                style = dict(p.split(": ") for p in attrs["style"].split("; "))
                of_token = (style["background"], style["color"], float(attrs["title"]))
                found.append((text, *of_token))
        return found


class TestContent:
    def test_one_text(self):
        page = page_of(title="title", legends="positive (98 %)")
        (text,) = page.texts
        (passage,) = text.passages
        assert (page.title, text.legend) == ("title", "positive (98 %)")
        assert passage.tokens == TOKENS
        assert_allclose(passage.scores, SCORES)
        assert passage.limit == 2
        assert (passage.method, page.separator) == ("", " ")

    def test_several_texts_with_padding(self):
        padded = np.array([[1, 2, np.nan], [3, -4, 5]])
        tokens = [["a", "b"], ["c", "d", "e"]]
        first, second = passages_of(padded, tokens)
        assert first.scores.tolist() == [1, 2]
        assert second.scores.tolist() == [3, -4, 5]
        assert (first.tokens, second.tokens) == (["a", "b"], ["c", "d", "e"])

    def test_several_methods(self):
        saliency = {"IG": [[1, 2], [3]], "LRP": [[4, 5], [6]]}
        page = page_of(saliency, [["a", "b"], ["c"]], legends=["first", "second"])
        assert [text.legend for text in page.texts] == ["first", "second"]
        found = [
            [(p.method, p.scores.tolist()) for p in text.passages]
            for text in page.texts
        ]
        assert found == [[("IG", [1, 2]), ("LRP", [4, 5])], [("IG", [3]), ("LRP", [6])]]

    def test_several_methods_of_one_text(self):
        first, second = passages_of({"IG": SCORES, "LRP": -SCORES})
        assert_allclose(first.scores, -second.scores)

    @pytest.mark.parametrize(
        ("scale", "limits"),
        [
            ("separate", [2, 5, 3, 6]),
            ("row", [5, 5, 6, 6]),
            ("column", [3, 6, 3, 6]),
            ("all", [6, 6, 6, 6]),
        ],
    )
    def test_what_has_one_scale(self, scale, limits):
        saliency = {"IG": [[1, -2], [3]], "LRP": [[-4, 5], [6]]}
        found = passages_of(saliency, [["a", "b"], ["c"]], scale=scale)
        assert [passage.limit for passage in found] == limits

    def test_percentile(self):
        (passage,) = passages_of(np.arange(1, 102), ["a"] * 101, percentile=50)
        assert passage.limit == 51
        assert_allclose(passage.grounds[60], passage.grounds[100])

    def test_the_scaler_decides_on_what_is_drawn(self):
        (passage,) = passages_of(scaler=lambda scores: scores**3)
        assert_allclose(passage.scores, SCORES**3)

    def test_uncertain_tokens_are_grey(self):
        (passage,) = passages_of(errors=[3, 0, 0.4, 1])
        assert passage.is_uncertain.tolist() == [True, False, False, True]
        assert_allclose(passage.grounds[[0, 3]], [GREY, GREY])
        notes = page_of(errors=[3, 0, 0.4, 1]).notes
        assert notes == [(GREY, "not distinguishable from 0")]
        assert page_of().notes == []

    def test_errors_of_one_of_the_methods(self):
        saliency = {"IG": SCORES, "LRP": SCORES}
        first, second = passages_of(saliency, errors={"LRP": np.full(4, 0.7)})
        assert not first.is_uncertain.any()
        assert second.is_uncertain.tolist() == [False, True, True, False]


class TestColours:
    def test_zero_is_white_and_the_signs_are_red_and_blue(self):
        (passage,) = passages_of([-2, 0, 2], ["a", "b", "c"])
        blue, white, red = passage.grounds
        assert_allclose(white, 1)
        assert_allclose(red, to_rgb("#ec6a55"), atol=0.02)
        assert_allclose(blue, to_rgb("#1a4f8f"), atol=0.02)

    def test_stronger_scores_have_stronger_colours(self):
        (passage,) = passages_of(np.linspace(0, 1, 9), list("abcdefghi"))
        paleness = passage.grounds[:, 1]
        assert (np.diff(paleness) < 0).all()

    def test_letters_can_be_read_on_every_ground(self):
        def luminance(color):
            channels = [
                c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
                for c in to_rgb(color)
            ]
            return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]

        for x in np.linspace(0.1, 0.9, 200):
            ground = diverging_cmap(x)[:3]
            low, high = sorted([luminance(ground), luminance(text_color(ground))])
            assert (high + 0.05) / (low + 0.05) > 4.5  # WCAG, level AA

    def test_both_colours_of_letters_occur(self):
        assert text_color((1, 1, 1)) == "black"
        assert text_color(to_rgb("#1a4f8f")) == text_color((0, 0, 0)) == "white"


class TestKey:
    def test_both_signs(self):
        (key,) = page_of().keys
        assert key.low == "speaks against (\u22122)"
        assert key.high == "speaks for (+2)"
        assert_allclose(key.bar[50], 1)

    def test_without_negative_scores(self):
        (key,) = page_of(np.abs(SCORES)).keys
        assert (key.low, key.high) == ("no influence", "strong influence (2)")
        assert_allclose(key.bar[0], 1)
        assert_allclose(key.bar[-1], to_rgb(NEUTRAL_COLOR), atol=0.01)

    def test_a_method_without_negative_scores_is_purple_beside_others(self):
        scores = {"IG": SCORES, "magnitude": np.abs(SCORES)}
        page = page_of(scores)
        signed, magnitudes = page.keys
        assert signed.low.startswith("speaks against")
        assert magnitudes.low == "no influence"
        first, second = page.texts[0].passages
        assert_allclose(first.grounds[0], signed.bar[0])
        assert_allclose(second.grounds[0], magnitudes.bar[-1])
        figure = TextVisualizer().visualize(scores, TOKENS)
        assert len(figure.axes[0].images) == 2
        assert shown(figure)[-2:] == ["no influence", "strong influence (2)"]

    def test_all_texts_of_a_method_are_signed_or_none(self):
        passages = passages_of([SCORES, np.abs(SCORES)], [TOKENS, TOKENS])
        assert [passage.is_signed for passage in passages] == [True, True]

    def test_where_all_scores_are_zero_it_says_so(self):
        page = page_of(np.zeros(4))
        assert (page.keys, page.notes) == ([], [(None, "all scores are 0")])
        figure = TextVisualizer().visualize(np.zeros(4), TOKENS)
        assert shown(figure) == [*TOKENS, "all scores are 0"]
        assert "all scores are 0" in TextVisualizer().html(np.zeros(4), TOKENS)

    def test_a_limit_is_that_of_all_texts(self):
        how = {"limit": 4.0, "scale": "separate"}
        page = page_of([SCORES, 2 * SCORES], [TOKENS, TOKENS], **how)
        assert {p.limit for text in page.texts for p in text.passages} == {4.0}
        assert page.keys[0].high == "speaks for (+4)"
        with pytest.raises(ValueError, match="limit must be a number > 0 or None"):
            TextVisualizer().visualize(SCORES, TOKENS, limit=-1)

    def test_after_a_scaler_that_changes_signs_nothing_speaks_for_or_against(self):
        for scaler in (min_max_scaler, lambda scores: scores - 1):
            (key,) = page_of(scaler=scaler).keys
            assert key.low.startswith("low")
            assert key.high.startswith("high")
        (key,) = page_of(scaler=abs_max_scaler).keys
        assert key.low.startswith("speaks against")

    def test_several_scales_have_no_numbers(self):
        (key,) = page_of([SCORES, 2 * SCORES], [TOKENS, TOKENS]).keys
        assert (key.low, key.high) == ("speaks against", "speaks for")

    def test_its_labels_can_be_chosen(self):
        how = {"key_labels": ("-", "+")}
        (key,) = page_of([SCORES, 2 * SCORES], [TOKENS] * 2, **how).keys
        assert (key.low, key.high) == ("-", "+")

    def test_it_can_be_left_out(self):
        page = page_of(show_key=False, errors=[3, 0, 0, 0])
        assert (page.keys, page.notes) == ([], [])
        figure = TextVisualizer().visualize(SCORES, TOKENS, show_key=False)
        assert shown(figure) == TOKENS


class TestLines:
    letters = Letters(["DejaVu Sans"], 10.0)

    def lines(self, tokens, width, separator=" "):
        page = page_of(np.ones(len(tokens)), tokens, separator=separator)
        (block,) = compute_layout(page, self.letters, width).blocks
        return block.lines

    def test_lines_end_between_tokens_and_within_the_width(self):
        tokens = [f"word{i}" for i in range(40)]
        lines = self.lines(tokens, 200.0)
        assert [word.text for line in lines for word in line] == tokens
        assert len(lines) > 5
        for line, after in zip(lines, lines[1:]):
            assert line[0].x == 0
            end = line[-1].x + line[-1].width
            assert end <= 200
            assert end + after[0].width > 190  # the next one did not fit

    def test_words_do_not_overlap(self):
        (line,) = self.lines(["one", "", "two"], 500.0)
        for word, after in zip(line, line[1:]):
            assert word.x + word.width < after.x

    def test_without_a_separator_grounds_touch(self):
        (line,) = self.lines(["one", "two", "three"], 500.0, separator="")
        for word, after in zip(line, line[1:]):
            assert word.x + word.width == after.x

    def test_a_separator_that_is_not_white_is_drawn(self):
        (line,) = self.lines(["a", "b", "c"], 500.0, separator="/")
        assert [(word.text, word.token) for word in line] == [
            *(("a", 0), ("/", None), ("b", 1), ("/", None), ("c", 2))
        ]

    def test_a_token_longer_than_a_line_is_broken(self):
        token = "pneumonoultramicroscopicsilicovolcanoconiosis" * 2
        lines = self.lines(["a", token], 150.0)
        assert "".join(w.text for line in lines for w in line) == f"a{token}"
        assert {w.token for line in lines[1:] for w in line} == {1}
        assert all(line[-1].x + line[-1].width <= 150 for line in lines)

    def test_a_width_for_no_letter_still_ends(self):
        assert len(self.lines(["abc"], 1.0)) >= 3

    def test_names_of_methods_have_a_column(self):
        page = page_of({"IG": SCORES, "a long name": SCORES})
        layout = compute_layout(page, self.letters, 400.0)
        lefts = {line[0].x for block in layout.blocks for line in block.lines}
        assert len(lefts) == 1
        assert lefts.pop() > self.letters.width("a long name", 0.85)


class TestFigure:
    def test_tokens_stand_on_their_grounds(self):
        figure = TextVisualizer().visualize(
            SCORES, TOKENS, title="a title", legends="positive"
        )
        (ax,) = figure.axes
        assert isinstance(figure, Figure)
        assert ax.get_title("left") == "a title"
        texts = dict(zip(["positive", *TOKENS], ax.texts))
        assert [text.get_text() for text in ax.texts[:5]] == list(texts)
        (grounds,) = ax.collections
        (passage,) = passages_of()
        assert_allclose(grounds.get_facecolor()[:, :3], passage.grounds)
        assert [texts[t].get_color() for t in TOKENS] == ["white", *["black"] * 3]
        for token, path in zip(TOKENS, grounds.get_paths()):
            box = path.get_extents()
            x, y = texts[token].get_position()
            assert_allclose(x, (box.x0 + box.x1) / 2)
            assert box.y0 < y < box.y1
            # The letters as they are drawn lie on the ground.
            drawn = texts[token].get_window_extent()
            drawn = drawn.transformed(ax.transData.inverted())
            assert box.x0 < drawn.x0 < drawn.x1 < box.x1

    def test_dollars_are_no_mathematics(self, tmp_path):
        figure = TextVisualizer().visualize(
            {"$m$": [np.ones(len(EVIL))]},
            [EVIL],
            tmp_path / "picture.png",
            title=r"$\bar$",
            legends=[r"$\foo$ and $y$"],
            key_labels=("$a$", "$b$"),
        )
        texts = shown(figure)
        assert [t for t in texts if t in EVIL] == EVIL
        assert {r"$\foo$ and $y$", "$m$"} < set(texts)
        assert all(not text.get_parse_math() for text in figure.axes[0].texts)

    def test_what_is_given_is_not_changed(self):
        saliency, errors, tokens = SCORES.copy(), np.full(4, 0.1), list(TOKENS)
        TextVisualizer().visualize(
            saliency, tokens, errors=errors, scaler=lambda s: np.multiply(s, 2, out=s)
        )
        assert saliency.tolist() == SCORES.tolist()
        assert errors.tolist() == [0.1] * 4
        assert tokens == TOKENS

    @pytest.mark.large
    def test_the_axes_of_the_user(self, tmp_path):
        figure, (above, below) = pyplot.subplots(2)
        try:
            returned = TextVisualizer().visualize(
                np.ones(120), ["word"] * 120, tmp_path / "p.png", ax=below, fontsize=30
            )
            assert returned is figure
            assert not above.texts
            figure.draw_without_rendering()  # at the resolution of the screen again
            frame = below.get_window_extent()
            for text in below.texts:  # smaller letters, so that all fit
                box = text.get_window_extent()
                assert frame.x0 - 1 < box.x0 < box.x1 < frame.x1 + 1
                assert frame.y0 - 1 < box.y0 < box.y1 < frame.y1 + 1
        finally:
            pyplot.close(figure)

    @pytest.mark.large
    def test_a_figure_is_as_high_as_its_texts(self):
        heights = [
            TextVisualizer().visualize(np.ones(n), ["word"] * n).get_figheight()
            for n in (5, 100, 500)
        ]
        assert heights == sorted(heights)
        assert heights[2] > 3 * heights[1]

    def test_the_key_shows_its_colours(self):
        figure = TextVisualizer().visualize(SCORES, TOKENS, errors=[3, 0, 0, 0])
        (ax,) = figure.axes
        (bar,) = ax.images
        assert_allclose(bar.get_array()[0], page_of().keys[0].bar)
        boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        assert to_hex(boxes[-1].get_facecolor()) == to_hex(GREY)
        assert shown(figure)[-1] == "not distinguishable from 0"


class TestHtml:
    def test_tokens_have_their_colours_and_scores(self):
        spans = Spans(TextVisualizer().html(SCORES, TOKENS))
        (passage,) = passages_of()
        assert [color for *_, color, _ in spans.tokens] == ["white", *["black"] * 3]
        assert [ground for _, ground, _, _ in spans.tokens] == [
            to_hex(ground) for ground in passage.grounds
        ]
        assert [score for *_, score in spans.tokens] == SCORES.tolist()

    def test_everything_of_the_user_is_escaped(self):
        document = TextVisualizer().html(
            {"<m>": [np.ones(len(EVIL))]},
            [EVIL],
            title="</title><b>",
            legends=["<i>"],
            separator="<hr>",
            key_labels=("<u>", "</u>"),
            errors={"<m>": [np.full(len(EVIL), 2)]},
        )
        spans = Spans(document)
        known = {"html", "head", "meta", "title", "body", "div", "span", "br"}
        assert spans.tags <= known
        text = "".join(spans.texts)
        for word in [*EVIL, "</title><b>", "<i>", "<hr>", "<u>", "</u>", "<m>"]:
            assert word in text

    def test_it_needs_nothing_else(self):
        document = TextVisualizer().html(SCORES, TOKENS)
        assert document.startswith("<!DOCTYPE html>")
        assert '<meta charset="utf-8">' in document
        assert not re.search(r"https?:|src=|href=|<script|<link|url\(", document)
        assert document._repr_html_() == document

    def test_without_a_separator_lines_can_still_be_broken(self):
        document = TextVisualizer().html([1, 2], ["日", "本"], separator="")
        assert re.search(r"日</span><wbr><span[^>]*>本", document)


class TestFiles:
    @pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
    def test_pictures(self, tmp_path, ending):
        path = tmp_path / f"text.{ending}"
        TextVisualizer().visualize(SCORES, TOKENS, path, title="title")
        assert path.stat().st_size > 2000
        if ending == "png":
            with Image.open(path) as picture:
                found = picture.convert("RGB").getcolors(1 << 24)
            colors = {to_hex(np.array(color) / 255) for _, color in found}
            assert {to_hex(diverging_cmap(0.1)), "#ffffff"} < colors
        if ending == "svg":
            ElementTree.parse(path)
            assert to_hex(diverging_cmap(0.1)) in path.read_text(encoding="utf-8")
        if ending == "pdf":
            assert path.read_bytes().startswith(b"%PDF")

    @pytest.mark.parametrize("name", ["text.html", "text.htm", "text"])
    def test_html(self, tmp_path, name):
        tokens = ["日本語", "\ud800", "\x00", "\n"]
        document = TextVisualizer().html([1, 2, 3, -4], tokens, tmp_path / name)
        path = tmp_path / (name if "." in name else "text.html")
        assert path.read_text(encoding="utf-8") == document
        assert "日本語" in document

    def test_control_characters_make_no_broken_svg(self, tmp_path):
        tokens = ["a\x00b", "\x1b[1m", "\ud83d", "tab\t", "\ufffe", "a\r\nb"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that the font lacks
            TextVisualizer().visualize(np.ones(6), tokens, tmp_path / "text.svg")
        ElementTree.parse(tmp_path / "text.svg")
        assert visible("a\x00\n\tb") == "a\ufffd\u21b5\u21e5b"

    @pytest.mark.parametrize("name", ["text.txt", "text.png"])
    def test_html_has_its_own_formats(self, tmp_path, name):
        with pytest.raises(
            ValueError, match=r"save_filepath.*supported formats: htm, "
        ):
            TextVisualizer().html(SCORES, TOKENS, tmp_path / name)

    def test_a_picture_is_no_html(self, tmp_path):
        with pytest.raises(ValueError, match="format 'html' is not supported"):
            TextVisualizer().visualize(SCORES, TOKENS, tmp_path / "text.html")


class TestJapanese:
    text = JAPANESE

    def test_a_family_that_is_installed_is_found(self, japanese_font, tmp_path):
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of letters that no font has
            figure = TextVisualizer().visualize(
                *([1.0, -1.0], [self.text, "good"], tmp_path / "text.png"),
                title=self.text,
                legends=self.text,
                separator="",
            )
        families = figure.axes[0].texts[0].get_fontproperties().get_family()
        assert families.index(japanese_font) > 0

    def test_a_family_of_the_user_is_taken(self, japanese_font):
        for family in (japanese_font, [japanese_font, "DejaVu Sans"]):
            figure = TextVisualizer().visualize(
                [1.0], [self.text], separator="", fontfamily=family, show_key=False
            )
            (text,) = figure.axes[0].texts
            assert text.get_fontproperties().get_family()[0] == japanese_font


class TestWrongInput:
    @pytest.mark.parametrize(
        ("saliency", "tokens", "message"),
        [
            (SCORES, "not at all good", "tokens must be a list of str"),
            (SCORES, 3, "tokens must be a list of str"),
            (SCORES, {"not": 1}, "tokens must be a list of str"),
            (SCORES, [1, 2, 3, 4], r"tokens\[0\] must be a list of str.* got 1"),
            (SCORES, ["a", "b", 3, "d"], "tokens must hold str, got 3 at 2"),
            ([SCORES], [["a", None]], r"tokens\[0\] must hold str, got None at 1"),
            (["a", "b"], ["a", "b"], "saliency must hold real numbers"),
            ({"IG": SCORES, 3: SCORES}, TOKENS, "the name of a method in saliency"),
        ],
    )
    def test_types(self, saliency, tokens, message):
        for draw in (TextVisualizer().visualize, TextVisualizer().html):
            with pytest.raises(TypeError, match=message):
                draw(saliency, tokens)

    @pytest.mark.parametrize(
        ("saliency", "tokens", "message"),
        [
            (SCORES, [], "tokens is empty"),
            ([[], []], [[], []], "tokens is empty"),
            ([SCORES, [1]], [TOKENS, []], r"saliency\[1\] must have .* 0 tokens"),
            (SCORES[:3], TOKENS, "saliency must have a score for each of the text's 4"),
            ([*SCORES, 1], TOKENS, "saliency must have .* got 5 scores"),
            (np.ones((4, 8)), TOKENS, r"saliency must have .* \(4, 8\); add up each"),
            ([1, np.nan, 1, 1], TOKENS, "saliency must be finite, got nan at the toke"),
            ([1, np.inf, 1, 1], TOKENS, "saliency must be finite, got inf"),
            ([SCORES], [TOKENS, TOKENS], "saliency must hold one for each of the 2 te"),
            ([SCORES, [1]], [TOKENS] * 2, r"saliency\[1\] must have a score"),
            ({}, TOKENS, "saliency must not be empty"),
            ({"IG": [SCORES, [1]]}, [TOKENS] * 2, r"saliency\['IG'\]\[1\] must have"),
        ],
    )
    def test_values(self, saliency, tokens, message):
        for draw in (TextVisualizer().visualize, TextVisualizer().html):
            with pytest.raises(ValueError, match=message):
                draw(saliency, tokens)

    @pytest.mark.parametrize(
        ("how", "error", "message"),
        [
            ({"scaler": 3}, TypeError, "scaler must be callable"),
            ({"title": 3}, TypeError, "title must be a str or None, got int"),
            ({"legends": [3]}, TypeError, "legends must be a str, got int"),
            ({"legends": ["a", "b"]}, ValueError, "legends must hold one for each"),
            ({"scale": "rows"}, ValueError, "scale must be one of 'separate', 'row'"),
            ({"percentile": 101}, ValueError, "percentile must be a number in"),
            ({"errors": [1, 2]}, ValueError, "errors must have a score for each"),
            ({"errors": -SCORES}, ValueError, "errors must be finite and not negative"),
            ({"errors": {"IG": SCORES}}, TypeError, "errors must be a list where"),
            ({"separator": None}, TypeError, "separator must be a str, got NoneType"),
            ({"key_labels": "ab"}, ValueError, "key_labels must be two texts"),
            ({"key_labels": ("a",)}, ValueError, "key_labels must be two texts"),
            ({"key_labels": ("a", 2)}, TypeError, "key_labels must be a str, got int"),
        ],
    )
    def test_options(self, how, error, message):
        for draw in (TextVisualizer().visualize, TextVisualizer().html):
            with pytest.raises(error, match=message):
                draw(SCORES, TOKENS, **how)

    @pytest.mark.parametrize(
        ("how", "error", "message"),
        [
            ({"fontsize": 0}, ValueError, "fontsize must be a number in"),
            ({"width": "wide"}, ValueError, "width must be a number in"),
            ({"fontfamily": 3}, TypeError, "fontfamily must be a str, a list of str"),
            ({"fontfamily": []}, ValueError, "fontfamily must not be empty"),
            ({"ax": 3}, TypeError, "ax must be one matplotlib Axes or None"),
        ],
    )
    def test_options_of_figures(self, how, error, message):
        with pytest.raises(error, match=message):
            TextVisualizer().visualize(SCORES, TOKENS, **how)

    @pytest.mark.large
    def test_a_text_that_is_too_long_for_a_picture(self):
        n = 20_000
        with pytest.raises(ValueError, match=r"tokens need a picture of .* use html"):
            TextVisualizer().visualize(np.ones(n), ["word"] * n)
        assert "word" in TextVisualizer().html(np.ones(n), ["word"] * n)
