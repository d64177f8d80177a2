"""The documentation site: `make docs` builds it with Sphinx, from MyST Markdown, in the theme Furo.

Sphinx, because its autodoc reads the docstrings of the installed package, and because it can treat every warning as an
error; MyST, because the pages remain Markdown that a forge shows; Furo, because it is maintained, is readable on a
phone, and takes no font or script from another host.
"""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "Carrousel"
author = "The Carrousel authors"
release = metadata.version("carrousel")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "house_docstrings",
    "every_cell",
    "files_outside",
]
exclude_patterns = ["extensions", "static"]

myst_heading_anchors = 3  # [text](page.md#heading) is checked
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "none"  # the docstrings state types and shapes
autodoc_member_order = "bysource"
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False

html_theme = "furo"
html_title = "Carrousel"
html_static_path = ["static"]
html_css_files = ["carrousel.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#8a3324", "color-brand-content": "#8a3324"},
    "dark_css_variables": {"color-brand-primary": "#e8967f", "color-brand-content": "#e8967f"},
}
pygments_style = "default"
