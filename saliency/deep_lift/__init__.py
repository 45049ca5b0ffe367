r"""DeepLIFT's multipliers: how the difference of an output comes from its inputs'.

A multiplier m of a function's input says how much of the output's difference from its
value at the baseline each unit of the input's difference brings: the products add up to
it, :math:`\sum_i m_i \Delta x_i = \Delta y` (Shrikumar et al. 2017, eq. 1 and 2).
"""

from saliency.deep_lift import handlers
from saliency.deep_lift.pair import Pair
from saliency.deep_lift.registry import register_multipliers

__all__ = ["Pair", "handlers", "register_multipliers"]
