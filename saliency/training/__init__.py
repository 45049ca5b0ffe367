"""Extensions of Chainer's trainer: explanations while a network is being trained."""

from saliency.training.random_state import KeptRandomState
from saliency.training.saliency_report import SaliencyReport

__all__ = ["KeptRandomState", "SaliencyReport"]
