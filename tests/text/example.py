"""The modules of examples/text, which is no package: its scripts stand alone."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import saliency  # noqa: F401  (before chainer)

FOLDER = Path(__file__).parents[2] / "examples" / "text"
_NAMES = (
    *("words", "sentences", "reviews", "networks", "training", "methods"),
    "sentiment",
)

# Other folders of examples and benchmarks have modules of the same names.
_others = {name: sys.modules.pop(name) for name in _NAMES if name in sys.modules}
sys.path.insert(0, str(FOLDER))
try:
    words, sentences, reviews, networks, training, methods, sentiment = (
        importlib.import_module(name) for name in _NAMES
    )
finally:
    sys.path.remove(str(FOLDER))
    for _name in _NAMES:
        sys.modules.pop(_name, None)
    sys.modules.update(_others)
