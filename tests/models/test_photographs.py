"""Photographs as networks take them, and what is known of networks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from saliency import photograph_network, read_photograph
from saliency.models.photographs import LAST_CONVOLUTIONS, PREPARATIONS, square

from chainer.links.model.vision import vgg

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)


class TestReadPhotograph:
    def test_it_is_upright_and_white_where_it_is_transparent(
        self, tmp_path: Path
    ) -> None:
        opaque = np.full((6, 5, 1), 255, np.uint8)
        opaque[0] = 0
        image = Image.fromarray(np.concatenate([PIXELS, opaque], axis=2))
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees
        image.save(tmp_path / "a.png", exif=exif)
        found = read_photograph(tmp_path / "a.png")
        assert (found.mode, found.size) == ("RGB", (6, 5))
        expected = PIXELS.copy()
        expected[0] = 255
        np.testing.assert_array_equal(np.asarray(found), np.rot90(expected, -1))

    @pytest.mark.parametrize(
        ("dtype", "depth", "suffix"),
        [
            ("u2", 65535, "png"),
            ("u2", 65535, "tif"),
            ("i4", 65535, "tif"),
            ("i4", 255, "tif"),
            ("f4", 255, "tif"),
            ("f4", 1, "tif"),
        ],
    )
    def test_deep_grey_images_are_not_cut_off_at_255(
        self, dtype: str, depth: int, suffix: str, tmp_path: Path
    ) -> None:
        grey = np.arange(256, dtype=np.uint8).reshape(8, 32)
        path = tmp_path / f"a.{suffix}"
        Image.fromarray((grey / 255 * depth).astype(dtype)).save(path)
        found = read_photograph(path)
        expected = np.repeat(grey[..., None], 3, axis=2)
        np.testing.assert_array_equal(np.asarray(found), expected)

    def test_deep_images_of_no_depth(self, tmp_path: Path) -> None:
        path = tmp_path / "heights.tif"
        Image.fromarray(np.full((2, 2), -3, np.int32)).save(path)
        with pytest.raises(ValueError, match=r"heights\.tif: .*'I', got -3 to -3"):
            read_photograph(path)

    def test_what_cannot_be_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        with pytest.raises(FileNotFoundError):
            read_photograph(path)
        path.write_text("no image")
        with pytest.raises(ValueError, match=r"a\.png is not an image"):
            read_photograph(path)
        Image.fromarray(np.tile(PIXELS, (50, 50, 1))).save(path)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(OSError, match=r"a\.png: .*truncated"):
            read_photograph(path)


class TestPreparations:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("unit", PIXELS / 255),
            ("symmetric", PIXELS / 127.5 - 1),
            # The numbers of torchvision's documentation.
            (
                "torch",
                (PIXELS / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
            ),
        ],
    )
    def test_scales(self, name: str, expected: np.ndarray) -> None:
        found = PREPARATIONS[name](PIXELS)
        assert (found.shape, found.dtype) == ((3, 6, 5), np.float32)
        assert_allclose(found, np.moveaxis(expected, -1, 0), rtol=1e-4, atol=1e-5)

    def test_caffe_is_what_chainer_does(self) -> None:
        image = np.tile(PIXELS, (40, 50, 1))[:224, :224]
        assert_allclose(PREPARATIONS["caffe"](image), vgg.prepare(image), atol=1e-4)

    def test_the_square_in_the_middle(self) -> None:
        pixels = np.zeros((10, 30, 3), np.uint8)
        pixels[:, 10:20] = 200
        found = square(Image.fromarray(pixels), 10)
        assert found.shape == (10, 10, 3)
        assert (found == 200).all()


def test_networks_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="name must be one of 'efficientnet-lite0', "):
        photograph_network("vgg17")
    assert len(LAST_CONVOLUTIONS) == 6
