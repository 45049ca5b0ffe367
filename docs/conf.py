"""How Sphinx builds the site: `make docs` writes it into build/docs.

The source folder is the root of the repository, so that a link between two files leads
to the same place on the site and where the files are read as Markdown.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from saliency import __version__  # noqa: E402

project = "Saliency for Chainer"
author = "The saliency developers"
copyright = author
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "examples/notebooks/*.ipynb",
    "benchmarks/RESULTS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = ["build", "dist", "results", ".*", "**.py"]
suppress_warnings = ["myst.header"]

# Links to headings are those that code hosts make.
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
# Notebooks are stored without outputs. What they show is kept in build/.
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_timeout = 300
nb_execution_raise_on_error = True

# What docstrings put into single backquotes are names.
default_role = "py:obj"
autodoc_member_order = "bysource"
# Types are in the docstrings.
autodoc_typehints = "none"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# References are checked; these are words for types in docstrings, classes of other
# packages, and names of our own that users meet in signatures alone.
nitpick_ignore_regex = [
    ("py:.*", r"(?!saliency|link_hooks).*"),
    ("py:class", r"saliency\.\w+\..*"),
]

html_theme = "furo"
html_title = f"{project} {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_extra"]  # a page that leads to docs/index.html
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}


def _mathml(self: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers show without a script or a font."""
    as_block = isinstance(node, nodes.math_block)
    self.body.append(tex2mathml(node.astext(), as_block=as_block))
    raise nodes.SkipNode


def _with_names(app: Any, *of_what: Any) -> tuple[str, str] | None:
    """Return a signature in which functions that are defaults have their names."""
    *_, signature, returned = of_what
    if signature is None:
        return None
    signature = re.sub(r"<function (\S+) at \w+>", r"\1", signature)
    signature = re.sub(r"<chainer\S+Converter object>", "concat_examples", signature)
    return signature, returned


def setup(app: Any) -> None:
    """Tell Sphinx how formulas and signatures are written."""
    app.connect("autodoc-process-signature", _with_names)
    app.add_html_math_renderer("mathml", (_mathml, None), (_mathml, None))
