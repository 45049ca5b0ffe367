"""A score that is masked is not drawn, whatever lies under the mask."""

from __future__ import annotations

import numpy as np
import pytest

from tests.visualizer.every_visualizer import drawings


def _is_of_scores(drawing):
    first = drawing.arguments[0]
    return not isinstance(first, dict) and np.asarray(first).dtype.kind == "f"


@pytest.mark.parametrize("drawing", [*filter(_is_of_scores, drawings())], ids=str)
def test_is_refused_by(drawing):
    saliency, *others = drawing.arguments
    masked = np.ma.masked_array(saliency)
    masked[(0,) * masked.ndim] = np.ma.masked
    with pytest.raises(ValueError, match=r"must have a value for every .*masked"):
        drawing._replace(arguments=(masked, *others)).draw()
