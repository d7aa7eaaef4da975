"""Settings of the documentation: `sphinx-build -n -W -b html docs docs/_build/html`."""

from __future__ import annotations

import kelman

project = "kelman"
author = "the kelman developers"
copyright = "2026, the kelman developers"
version = release = kelman.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "requirements.txt", "gallery"]
html_theme = "furo"
html_title = f"kelman {version}"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autoclass_content = "class"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "generated/gallery",
    "filename_pattern": "/plot_",
    "abort_on_example_error": True,
    "capture_repr": (),
    "download_all_examples": False,
    "nested_sections": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

# What other packages document is not looked up: the documentation is built without a network.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!kelman).*"),
]
