"""Whether NumPy's global state holds half of a pair of normal numbers."""

import numpy as np
import pytest

from saliency.calculator.randomness import random_streams


@pytest.fixture(autouse=True)
def state():
    before = np.random.get_state()
    yield
    np.random.set_state(before)


@pytest.mark.parametrize("n_drawn", [0, 1, 2, 3])
@pytest.mark.parametrize("can_look", [True, False])
def test_it_is_seen(monkeypatch, n_drawn, can_look):
    if not can_look:
        monkeypatch.setattr(random_streams, "_place_of_half_a_pair", lambda: None)
    np.random.seed(0)
    np.random.normal(size=n_drawn)
    found = random_streams._has_half_a_pair()
    assert found == bool(np.random.get_state(legacy=False)["has_gauss"])
    assert found == bool(n_drawn % 2)
