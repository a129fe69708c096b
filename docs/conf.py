"""Settings of the site's generator, Sphinx; ``make site`` gathers the sources by ``site_sources.py``."""

project = "authentik-entra-bootstrap"
html_title = project
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
extensions = ["myst_parser"]
myst_heading_anchors = 4
nitpicky = True
html_static_path = ["static"]
html_css_files = ["site.css"]
