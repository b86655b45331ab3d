"""Configuration of the documentation site: ``uv run --group docs sphinx-build -W docs build/docs``."""

import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from isnotai_async import __version__

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.test_reference import NAMES  # the names that the tests hold to have an example

project = "isnotai_async"
author = project_copyright = "isnotai-async contributors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"isnotai_async {__version__}"
html_copy_source = False
html_extra_path = ["llms.txt"]
html_static_path = ["_static"]
html_css_files = ["tables.css"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "description"
default_role = "py:obj"  # a name in backticks of a docstring leads to its entry
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"show-inheritance": True}
toc_object_entries_show_parents = "hide"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
suppress_warnings = ["ref.python"]  # two records have a field `type`, to which autodoc links the annotation `type`


def setup(app: Sphinx) -> None:
    """Check each build."""
    app.connect("env-check-consistency", _check_reference)


def _check_reference(_app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that is not on the site: an option of autodoc can leave out what a class inherits."""
    shown = env.domains.python_domain.objects
    for name in NAMES:
        if f"isnotai_async.{name}" not in shown:
            logging.getLogger(__name__).warning("isnotai_async.%s is not in the built reference", name)
