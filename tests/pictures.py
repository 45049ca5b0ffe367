"""Pictures that are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def assert_look_alike(path: Path, other: Path) -> None:
    """Assert that two pictures differ by little more than fonts and rounding do."""
    with Image.open(path) as picture, Image.open(other) as other_picture:
        size, other_size = np.array(picture.size), np.array(other_picture.size)
        assert (abs(size / other_size - 1) < 0.02).all()
        thumbnails = [
            np.asarray(one.convert("L").resize((96, 48)), float)
            for one in (picture, other_picture)
        ]
    assert np.abs(thumbnails[0] - thumbnails[1]).mean() < 6  # of 255
