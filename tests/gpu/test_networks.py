"""Networks as people write them give on a GPU what they give on the CPU."""

from __future__ import annotations

import pytest

from saliency import BayesGradCalculator, SmoothGradCalculator
from tests.models_of_others.test_networks import METHODS, Explained, every_network

# Paths of two steps are as good as others for what is compared here.
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:the attributions of"),
]


class OnGPU(Explained):
    """A network on a GPU, with its data where they were."""

    def __init__(self, name, dtype=None):
        super().__init__(name, dtype)
        self.model.to_device("@cupy:0")


def compare(name, new, **how):
    expected = Explained(name).by(new, **how)
    OnGPU(name).assert_near(OnGPU(name).by(new, **how), expected, 1e-6)


@pytest.mark.parametrize("method", METHODS)
@every_network()
def test_methods(name, method):
    case = Explained(name).case
    if method in case.without:
        pytest.skip(case.without[method])
    compare(name, METHODS[method])


@every_network()
def test_noise(name):
    compare(name, SmoothGradCalculator, M=2, seed=0)


#: Those that draw numbers of their own, which a GPU draws from other streams.
DRAW_ON_THE_DEVICE = {"VAE", "Discriminator"}


@every_network()
def test_dropout(name):
    if name in DRAW_ON_THE_DEVICE:
        pytest.skip("draws other random numbers on each device")
    compare(name, BayesGradCalculator, M=2, seed=0)
