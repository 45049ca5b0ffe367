"""Letters that matplotlib's own font lacks: which font draws them, and what if none."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from saliency.visualizer.fonts import LAST_RESORT, font_families, missing_letters
from saliency.visualizer.names import AS_IT_IS
from saliency.visualizer.texts.lines import Letters
from tests.visualizer.conftest import JAPANESE
from tests.visualizer.test_names import FIGURES, tokens

#: Letters that neither matplotlib's font nor the one of the tests has.
UNKNOWN = "\u9f8d\u9f9c"
EVERY = [*FIGURES, tokens]


def texts(figure: Figure, content: str) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text() == content]


@pytest.mark.parametrize("draw", EVERY)
def test_every_visualizer_draws_with_a_japanese_font(draw, japanese_font, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of letters that no font has
        figure = draw(JAPANESE, tmp_path / "x.png")
    found = texts(figure, JAPANESE)
    assert found
    for text in found:
        families = text.get_fontproperties().get_family()
        assert families.index(japanese_font) > 0


@pytest.mark.parametrize("draw", EVERY)
def test_one_warning_names_the_letters_that_no_font_has(draw):
    with pytest.warns(UserWarning, match="no font") as caught:
        draw(f"a {UNKNOWN} b {UNKNOWN[0]}")
    # Older versions of matplotlib add one of theirs for each letter.
    (ours,) = [w for w in caught if "installed" in str(w.message)]
    assert repr(UNKNOWN) in str(ours.message)
    assert "fonts-noto-cjk" in str(ours.message)
    assert ours.filename.endswith("test_names.py")  # the line that called


def test_matplotlib_adds_no_warnings_where_it_has_a_last_resort(tmp_path):
    if LAST_RESORT not in font_families():
        pytest.skip("this matplotlib has no font of last resort")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tokens(UNKNOWN, tmp_path / "x.png")
    assert len(caught) == 1


def test_the_families_of_the_users_settings_come_first(japanese_font):
    with matplotlib.rc_context({"font.family": ["DejaVu Serif"]}):
        families = font_families()
        assert AS_IT_IS["fontfamily"] == families
    assert families[0] == "DejaVu Serif"
    assert japanese_font in families
    assert dict(AS_IT_IS)["parse_math"] is False
    assert len(AS_IT_IS) == 3
    with pytest.raises(KeyError):
        AS_IT_IS["color"]


def test_missing_letters_are_named_once_and_in_their_order(japanese_font):
    families = ["DejaVu Sans", japanese_font, LAST_RESORT]
    text = f"{UNKNOWN[1]} \u00e9 {JAPANESE} {UNKNOWN}\n\u3000"
    assert missing_letters(text, families) == [UNKNOWN[1], UNKNOWN[0]]
    assert missing_letters(JAPANESE, families[:1]) == list(JAPANESE)
    assert missing_letters("ascii", []) == []


def test_japanese_letters_are_as_wide_as_the_font_says(japanese_font):
    letters = Letters(font_families(), 10.0)
    np.testing.assert_allclose(letters.width(JAPANESE), 30, rtol=0.05)
