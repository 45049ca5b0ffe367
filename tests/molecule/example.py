"""The modules of examples/molecule, which is no package: its scripts stand alone."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from saliency.models import ggnn as ggnn

FOLDER = Path(__file__).parents[2] / "examples" / "molecule"
_NAMES = (
    *("molecules", "nfp", "training", "methods"),
    *("logp_network", "train_logp", "logp", "solubility", "substructure"),
)

# Other folders of examples and benchmarks have modules of the same names.
_others = {name: sys.modules.pop(name) for name in _NAMES if name in sys.modules}
sys.path.insert(0, str(FOLDER))
try:
    molecules, nfp, training, methods, logp_network, train_logp = (
        importlib.import_module(name) for name in _NAMES[:6]
    )
    logp, solubility, substructure = (
        importlib.import_module(name) for name in _NAMES[6:]
    )
finally:
    sys.path.remove(str(FOLDER))
    for _name in _NAMES:
        sys.modules.pop(_name, None)
    sys.modules.update(_others)

#: Rings, charges, salts, stereo, all types of bonds, one atom, explicit hydrogens.
SMILES = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "C",
    "OCC",
    "[Na+].[O-]C(=O)/C=C/c1ccncc1",
    "C[C@H](N)C(=O)O",
    "N#Cc1c[nH]c2ccccc12",
    "[2H]OC([H])[H]",
    "O=[N+]([O-])c1ccc(Br)cc1",
    "C1CC2CCC1C2",
    "CS(=O)(=O)N1CCOCC1",
)
