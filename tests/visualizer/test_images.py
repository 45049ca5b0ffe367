"""Images as they come to ImageVisualizer, and in another size."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from saliency import ImageVisualizer
from saliency.visualizer.images.photographs import resized

visualizer = ImageVisualizer()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def photograph(rng):
    return rng.integers(0, 256, (8, 10, 3)).astype(np.uint8)


def drawn(figure: Figure) -> list:
    """Returns the images on the axes, from the lowest to the topmost."""
    return figure.axes[0].get_images()


class TestImage:
    """However the photograph comes, it is drawn as it is."""

    @staticmethod
    def shown(image, **how) -> np.ndarray:
        how = {"mode": "mask", "percentile": 0, **how}
        scores = np.ones((8, 10))  # a mask of ones shows all of the photograph
        return np.asarray(
            drawn(visualizer.visualize(scores, image, **how))[0].get_array()
        )

    @pytest.mark.parametrize(
        ("mode", "depth"),
        [
            ("I;16", 65535),
            ("I;16B", 65535),
            ("I", 65535),
            ("I", 255),
            ("F", 1),
            ("F", 255),
            ("F", 65535),
        ],
    )
    def test_of_another_depth(self, mode, depth, rng):
        expected = rng.random((8, 10))
        expected[0, :2] = 0, 1
        values = np.round(expected * depth) if depth > 1 else expected
        dtypes = {"I;16": "<u2", "I;16B": ">u2", "I": "i4", "F": "f4"}
        data = values.astype(dtypes[mode]).tobytes()
        image = Image.frombytes(mode, (10, 8), data)
        shown = self.shown(image)
        assert shown.shape == (8, 10, 3)
        assert_allclose(shown, expected[..., None].repeat(3, 2), atol=0.6 / 255)

    @pytest.mark.parametrize("is_saved", [True, False])
    def test_of_a_dark_png_of_16_bits(self, is_saved, tmp_path):
        values = np.arange(80, dtype=np.uint16).reshape(8, 10) * 100
        image = Image.fromarray(values)
        if is_saved:
            image.save(tmp_path / "dark.png")
            image = Image.open(tmp_path / "dark.png")
        assert_allclose(self.shown(image)[..., 0], values / 65535, atol=1e-6)

    @pytest.mark.parametrize(
        "image",
        [
            Image.fromarray(np.full((8, 10), -1, np.int32)),
            Image.fromarray(np.full((8, 10), 65536, np.int32)),
            Image.fromarray(np.full((8, 10), -0.5, np.float32)),
            Image.fromarray(np.full((8, 10), np.nan, np.float32)),
        ],
    )
    def test_out_of_range(self, image):
        with pytest.raises(ValueError, match=r"image must lie in \[0, 65535\]"):
            self.shown(image)

    @pytest.mark.parametrize(
        "convert",
        [
            Image.fromarray,
            lambda a: Image.fromarray(a).convert("CMYK").convert("RGB"),
            np.asarray,
            lambda a: a / 255,
            lambda a: (a / 255).astype(np.float32),
            lambda a: a.transpose(2, 0, 1),
        ],
        ids=["pil", "pil_cmyk", "hwc", "float64", "float32", "chw"],
    )
    def test_of_three_channels(self, photograph, convert):
        assert_allclose(self.shown(convert(photograph)), photograph / 255, atol=1e-6)

    @pytest.mark.parametrize(
        "convert",
        [
            np.asarray,
            Image.fromarray,
            lambda a: a[..., None],
            lambda a: a[None],
            lambda a: a / 255,
        ],
        ids=["hw", "pil", "hw1", "1hw", "float"],
    )
    def test_grey(self, photograph, convert):
        grey = photograph[..., 0]
        expected = np.repeat(grey[..., None] / 255, 3, axis=2)
        assert_allclose(self.shown(convert(grey)), expected, atol=1e-6)

    @pytest.mark.parametrize("as_pil", [False, True])
    def test_what_is_transparent_becomes_white(self, photograph, as_pil):
        alpha = np.zeros((8, 10, 1), np.uint8)
        alpha[:, :5] = 255
        rgba = np.concatenate([photograph, alpha], axis=2)
        image = self.shown(Image.fromarray(rgba) if as_pil else rgba)
        assert_allclose(image[:, :5], photograph[:, :5] / 255)
        assert_array_equal(image[:, 5:], 1)

    @pytest.mark.parametrize("height", [3, 4])
    def test_a_height_of_channels_is_never_guessed(self, rng, height):
        image = rng.random((height, 10, 3))
        with pytest.raises(ValueError, match="image_layout='hwc' or 'chw'"):
            self.shown(image)
        figure = visualizer.visualize(
            np.ones((height, 10)), image, mode="mask", image_layout="hwc"
        )
        assert_allclose(drawn(figure)[0].get_array(), image)
        figure = visualizer.visualize(
            np.ones((10, 3)), image[:3], mode="mask", image_layout="chw"
        )
        assert_allclose(drawn(figure)[0].get_array(), np.moveaxis(image[:3], 0, -1))

    @pytest.mark.parametrize(
        "image, message",
        [
            (np.zeros((8, 10, 2)), "1, 3 or 4 channels"),
            (np.zeros((8, 10, 3, 1)), r"image must have the shape \(h, w\)"),
            (np.zeros(8), r"image must have the shape \(h, w\)"),
            (np.zeros((0, 3, 3)), r"image must have the shape \(h, w\)"),
            (np.full((8, 10, 3), 1.5), r"must lie in \[0, 1\].* got 1.5 to 1.5"),
            (np.full((8, 10, 3), -0.5), r"must lie in \[0, 1\]"),
            (np.full((8, 10, 3), np.nan), r"must lie in \[0, 1\]"),
        ],
    )
    def test_what_is_refused(self, image, message):
        with pytest.raises(ValueError, match=message):
            self.shown(image)

    @pytest.mark.parametrize(
        "image", [np.zeros((8, 10, 3), int), "photo.jpg", np.zeros((8, 10, 3), bool)]
    )
    def test_of_a_wrong_kind(self, image):
        with pytest.raises(TypeError, match="image must be a PIL image or an array"):
            self.shown(image)

    def test_a_layout_that_does_not_fit(self, photograph):
        with pytest.raises(ValueError, match="1, 3 or 4 channels"):
            self.shown(photograph, image_layout="chw")


def test_resizing_interpolates_and_keeps_the_orientation():
    array = np.array([[0.0, 1.0], [2.0, 3.0]])
    larger = resized(array, (4, 6))
    assert larger.shape == (4, 6)
    assert larger.dtype == np.float64
    assert_array_equal(larger[[0, 0, -1, -1], [0, -1, 0, -1]], [0, 1, 2, 3])
    assert (np.diff(larger, axis=0) >= 0).all() and (np.diff(larger, axis=1) >= 0).all()
    nearest = resized(array, (4, 6), Image.Resampling.NEAREST)
    assert_array_equal(nearest, np.kron(array, np.ones((2, 3))))


@pytest.mark.parametrize("factor", [2.0**-170, 1.0, 2.0**190])
def test_numbers_beyond_those_of_float32_are_resized(factor):
    array = np.random.default_rng(0).normal(size=(5, 7))
    expected = resized(array, (11, 13))
    assert_array_equal(resized(array * factor, (11, 13)), expected * factor)
    assert not resized(np.zeros((5, 7)), (11, 13)).any()


def test_words_beside_two_colour_bars_do_not_touch():
    rng = np.random.default_rng(0)
    maps = {"signed": [rng.normal(size=(8, 8))], "other": [rng.random((8, 8))]}
    figure = ImageVisualizer().visualize_grid(maps, scale="all", show_colorbar=True)
    figure.savefig(io.BytesIO())
    bars = figure.axes[-2:]
    for texts in ([ax._left_title for ax in bars], [ax.xaxis.label for ax in bars]):
        assert all(text.get_text() for text in texts)
        left, right = sorted(
            text.get_window_extent().extents[[0, 2]].tolist() for text in texts
        )
        assert left[1] < right[0]
