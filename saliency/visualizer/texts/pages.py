"""What a picture of texts shows: tokens, their colours, and the texts around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency.array_types import Array
from saliency.checks import check_choice, check_number, checked_text
from saliency.digits import written_out
from saliency.visualizer.colors import (
    ALL_ZERO,
    SIGNED_KEY,
    UNKNOWN_KEY,
    UNSIGNED_KEY,
    diverging_cmap,
    sequential_cmap,
)
from saliency.visualizer.grids import (
    SCALES,
    columns_of,
    names_of_methods,
    one_for_each_row,
    with_limits,
)
from saliency.visualizer.names import is_drawable
from saliency.visualizer.scalers import Scaler, apply_scaler
from saliency.visualizer.scores import (
    checked_errors,
    checked_scores_of_elements,
    uncertain,
)

UNCERTAIN_KEY = "not distinguishable from 0"

Color = tuple[float, float, float]

GREY: Color = (0.83, 0.83, 0.83)  # the ground of what cannot be distinguished from zero

# Which share of `diverging_cmap` the scores have on each side of white, and of
# `sequential_cmap` magnitudes. Without their dark ends the strongest are plainly red,
# blue and purple.
_REACH, _REACH_OF_MAGNITUDES = 0.4, 0.8

_VISIBLE = {"\n": "\u21b5", "\r": "\u21b5", "\t": "\u21e5"}  # arrows
_REPLACEMENT = "\ufffd"


class Passage(NamedTuple):
    """A text with the scores of its tokens by one method.

    Attributes:
        tokens: The tokens, as they are drawn.
        scores: As they are drawn, ``(n_token,)``.
        is_uncertain: Which scores cannot be distinguished from zero, ``(n_token,)``.
        method: The name of the method; empty if it has none.
        limit: The score of the strongest colours.
        is_signed: Whether the method has negative scores, so that colours tell signs.
        keeps_signs: Whether a scaler has left scores the signs that they had.
    """

    tokens: list[str]
    scores: np.ndarray
    is_uncertain: np.ndarray
    method: str
    limit: float = 1.0
    is_signed: bool = True
    keeps_signs: bool = True

    @property
    def all_scores(self) -> np.ndarray:
        """The scores that decide on the limit."""
        return self.scores

    @property
    def grounds(self) -> np.ndarray:
        """The colour of the ground of each token, RGB, ``(n_token, 3)``."""
        colors = score_colors(self.scores / self.limit, self.is_signed)
        colors[self.is_uncertain] = GREY
        return colors


class Text(NamedTuple):
    """A text, explained by one or several methods.

    Attributes:
        legend: Text above it, such as its class and probability; may be empty.
        passages: One for each method.
    """

    legend: str
    passages: list[Passage]


class Key(NamedTuple):
    """What the colours mean.

    Attributes:
        low: What stands at the left end of the bar of colours.
        high: What stands at its right end.
        bar: The colours from the left to the right, RGB, ``(n, 3)``.
    """

    low: str
    high: str
    bar: np.ndarray


class Page(NamedTuple):
    """A whole picture of texts.

    Attributes:
        title: Text above everything; may be empty.
        texts: The texts, from the top down.
        separator: What stands between two tokens.
        keys: What the colours mean; of signed scores first, then of magnitudes.
        notes: Other lines below the texts, each with the colour of a square before it,
            or None.
    """

    title: str
    texts: list[Text]
    separator: str
    keys: list[Key]
    notes: list[tuple[Color | None, str]]


def compute_page(
    saliency: Any,
    tokens: Any,
    scaler: Scaler | None,
    title: str | None,
    legends: str | Sequence[str] | None,
    scale: str,
    percentile: float,
    limit: float | None,
    errors: Any,
    separator: str,
    show_key: bool,
    key_labels: tuple[str, str] | None,
) -> Page:
    """Return what `TextVisualizer` draws; as it describes.

    Raises:
        ValueError: An argument has the wrong shape, is not finite, or is not among the
            values allowed.
        TypeError: An argument has the wrong type.
    """
    check_choice("scale", scale, SCALES)
    check_number("percentile", percentile, 0, 100)
    texts, is_one = _checked_tokens(tokens)
    methods = names_of_methods(saliency)
    if is_one:
        saliency, errors = _as_list(saliency), _as_list(errors)
        legends = [legends] if isinstance(legends, str) else legends
    places = [""] if is_one else [f"[{i}]" for i in range(len(texts))]
    rows = _compute_rows(saliency, texts, places, methods, scaler, errors)
    rows = with_limits(rows, scale, percentile)
    if limit is not None:
        rows = [[one._replace(limit=limit) for one in row] for row in rows]
    is_signed = [any((p.scores < 0).any() for p in column) for column in zip(*rows)]
    rows = [
        [one._replace(is_signed=signed) for one, signed in zip(row, is_signed)]
        for row in rows
    ]
    captions = [""] * len(texts)
    if legends is not None:
        captions = one_for_each_row("legends", legends, len(texts), "text")
    return Page(
        "" if title is None else visible(checked_text("title", title)),
        [
            Text(visible(checked_text("legends", caption)), row)
            for caption, row in zip(captions, rows)
        ],
        visible(checked_text("separator", separator)),
        _compute_keys(rows, key_labels) if show_key else [],
        _compute_notes(rows) if show_key else [],
    )


def score_colors(scores: np.ndarray, is_signed: bool = True) -> np.ndarray:
    """Return the grounds of tokens: those of colour maps but for their dark ends.

    Args:
        scores: Scores, divided by that of the strongest colours, shape (n,).
        is_signed: Whether they are those of `diverging_cmap` or of `sequential_cmap`.

    Returns:
        RGB colours, shape (n, 3): white at 0; red above it and blue below if signs
        count, otherwise purple.
    """
    colors: np.ndarray
    if is_signed:
        colors = diverging_cmap(0.5 + _REACH * np.clip(scores, -1, 1))[:, :3]
    else:
        colors = sequential_cmap(_REACH_OF_MAGNITUDES * np.clip(scores, 0, 1))[:, :3]
    return colors


def text_color(ground: Sequence[float] | np.ndarray) -> str:
    """Return ``'black'`` or ``'white'``: what has the higher contrast to a ground.

    By the contrast ratio of the W3C (2018), Web Content Accessibility Guidelines 2.1,
    (L1 + 0.05) / (L2 + 0.05) with relative luminances L.

    Args:
        ground: Red, green and blue, each in [0, 1].
    """
    channels = np.asarray(ground, np.float64)
    linear = np.where(
        channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def visible(text: str) -> str:
    """Return a text without line breaks, and without what no file can hold.

    Line breaks and tabs become arrows. Other control characters and lone surrogates,
    which XML and UTF-8 do not have, become the replacement character.
    """
    return "".join(_visible_letter(letter) for letter in text)


def _visible_letter(letter: str) -> str:
    if letter in _VISIBLE:
        return _VISIBLE[letter]
    return letter if is_drawable(letter) else _REPLACEMENT


# --- what the user gave -----------------------------------------------------------


def _checked_tokens(tokens: Any) -> tuple[list[list[str]], bool]:
    """Return the tokens of each text, and whether only one text was given."""
    outer = _listed("tokens", tokens)
    if outer and isinstance(outer[0], str):
        return [_checked_text_of_tokens("tokens", outer)], True
    texts = [
        _checked_text_of_tokens(f"tokens[{i}]", _listed(f"tokens[{i}]", inner))
        for i, inner in enumerate(outer)
    ]
    if not any(texts):
        raise ValueError("tokens is empty; there must be at least one token")
    return texts, False


def _listed(name: str, value: Any) -> list[Any]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(
            f"{name} must be a list of str, or of one such list for each text, got "
            f"{value!r}"
        )
    return list(value)


def _checked_text_of_tokens(name: str, tokens: list[Any]) -> list[str]:
    for i, token in enumerate(tokens):
        if not isinstance(token, str):
            raise TypeError(
                f"{name} must hold str, got {token!r} at {i}; map the numbers of "
                "words to the words first"
            )
    return [visible(token) for token in tokens]


def _as_list(value: Any) -> Any:
    """Return what one text has as a list of one, by method if there are methods."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {method: [of_text] for method, of_text in value.items()}
    return [value]


def _compute_rows(
    saliency: Any,
    texts: list[list[str]],
    places: list[str],
    methods: list[Any] | None,
    scaler: Scaler | None,
    errors: Any,
) -> list[list[Passage]]:
    """Return for each text a passage for each method.

    Args:
        saliency: The scores of each text, by ``methods`` if there are any.
        texts: The tokens of each.
        places: How messages tell the texts apart, such as ``[0]``.
        methods: The names of the methods, or None.
        scaler: Maps the scores of a text to those drawn, or None.
        errors: As ``saliency``, or None.
    """
    names = [
        visible(checked_text("the name of a method in saliency", method))
        for method in methods or []
    ] or [""]
    columns = columns_of("saliency", saliency, methods, len(texts), "text")
    error_columns = columns_of("errors", errors, methods, len(texts), "text")
    return [
        [
            _compute_passage(
                tokens,
                method,
                (f"{column.label}{place}", column.entries[i]),
                (f"{error_column.label}{place}", error_column.entries[i]),
                scaler,
            )
            for method, column, error_column in zip(names, columns, error_columns)
        ]
        for i, (tokens, place) in enumerate(zip(texts, places))
    ]


def _compute_passage(
    tokens: list[str],
    method: str,
    saliency: tuple[str, Any],
    errors_of_text: tuple[str, Any],
    scaler: Scaler | None,
) -> Passage:
    """Return the passage of a text by a method; pairs are a name and the values."""
    scores = _checked_scores(saliency[1], len(tokens), saliency[0])
    errors_name, errors = errors_of_text
    if errors is not None:
        errors = _checked_scores(errors, len(tokens), errors_name)  # without padding
    is_uncertain = uncertain(scores, checked_errors(errors, scores, errors_name))
    scaled = apply_scaler(scores, scaler) if tokens else scores
    keeps_signs = np.array_equal(np.sign(scaled), np.sign(scores))
    return Passage(tokens, scaled, is_uncertain, method, keeps_signs=keeps_signs)


def _checked_scores(value: Array, n_token: int, name: str) -> np.ndarray:
    """Return the scores of the tokens in float64, ``(n_token,)``, without padding."""
    hint = "; add up each token's embedding, as ch_axis of aggregate does"
    return checked_scores_of_elements(
        value, n_token, name, "token", "text", hint, place="the token"
    )


def _compute_keys(
    rows: list[list[Passage]], key_labels: tuple[str, str] | None
) -> list[Key]:
    """Return a key for signed scores and one for magnitudes, if there are any."""
    passages = [one for row in rows for one in row if one.scores.any()]
    limits = {passage.limit for passage in passages}
    keys = []
    for is_signed in sorted({one.is_signed for one in passages}, reverse=True):
        low, high = SIGNED_KEY if is_signed else UNSIGNED_KEY
        if not all(one.keeps_signs for one in passages):
            low, high = UNKNOWN_KEY
        if key_labels is not None:
            low, high = checked_key_labels(key_labels)
        if len(limits) == 1:  # then the colours have numbers
            (limit,) = limits
            number = written_out(limit, 2)
            low = f"{low} (\u2212{number})" if is_signed else low
            high = f"{high} ({'+' * is_signed}{number})"
        scores = np.linspace(-1 if is_signed else 0, 1, 101)
        keys.append(Key(low, high, score_colors(scores, is_signed)))
    return keys


def _compute_notes(rows: list[list[Passage]]) -> list[tuple[Color | None, str]]:
    """Return what is said of scores that have no colours of their own."""
    passages = [passage for row in rows for passage in row]
    notes: list[tuple[Color | None, str]] = []
    if not any(passage.scores.any() for passage in passages):
        notes.append((None, ALL_ZERO))
    if any(passage.is_uncertain.any() for passage in passages):
        notes.append((GREY, UNCERTAIN_KEY))
    return notes


def checked_key_labels(key_labels: Sequence[str]) -> tuple[str, str]:
    """Return what the two ends of the colours mean, as it is drawn.

    Raises:
        ValueError: These are not two.
        TypeError: They are not texts.
    """
    if not isinstance(key_labels, (tuple, list)) or len(key_labels) != 2:
        raise ValueError(
            "key_labels must be two texts, for the colours of low and of high scores, "
            f"got {key_labels!r}"
        )
    low, high = (visible(checked_text("key_labels", label)) for label in key_labels)
    return low, high
