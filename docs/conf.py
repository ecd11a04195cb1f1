"""Sphinx's configuration: sphinx-build -n -W docs docs/_build."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "extretr"
author = "The extretr maintainers"
copyright = "2026, The extretr maintainers"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "any"
# What Twisted and zope define cannot be looked up offline.
nitpick_ignore_regex = [
    (r"py:.*", r"(twisted|zope|passlib)\..*"),
    (r"py:exc", r"(TLS\w*Error|InsecureAuthenticationDisallowed)"),
    # Of extretr.client.refusals, which client.rst has in words: some of these names are
    # the server's too.
    (r"py:exc", r"(Not[OA]\w+|ServerRefusal|NonExistent)"),
    (r"py:.*", r"(Deferred|IReactorTime|SessionLock|ISession|IStore|LINE_LIMIT|HUGE)"),
]
suppress_warnings = ["ref.any"]
