"""A stand-in for torchvision, which Zennit imports for two class names alone.

The CPU build of PyTorch that the bench uses has no torchvision that fits. Zennit's
canonizers of torchvision's own ResNets are not used here.
"""

import sys
import types


def install() -> None:
    """Put the stand-in where Zennit looks, unless torchvision can be imported."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):  # it is missing, or built for another PyTorch
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        resnet = types.ModuleType("torchvision.models.resnet")
        resnet.Bottleneck = type("Bottleneck", (), {})
        resnet.BasicBlock = type("BasicBlock", (), {})
        for name in ("torchvision", "torchvision.models"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["torchvision.models.resnet"] = resnet
