"""The command line, ``python -m saliency``."""

from __future__ import annotations

import sys

from saliency.commands import main

if __name__ == "__main__":
    sys.exit(main())
