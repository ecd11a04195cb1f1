"""
A picture of the ratios: how many times as fast ours is, beside each other server.

By pygal: it is small, in pure Python, and kept; what it draws is text and boxes, which
a reader's light or dark can colour.
"""

import pygal
from pygal.style import Style

#: Enough contrast on white and on black.
_COLORS = {
    "dovecot": "#2f81c9",
    "popa3d": "#d9822b",
    "courier": "#4c9f70",
    "mailutils": "#b05fb5",
    "stock": "#8a8f98",
}

_CSS = """inline:
#chart-performance text { fill: #24292f !important; }
#chart-performance .line { stroke: #8a8f98; }
@media (prefers-color-scheme: dark) {
  #chart-performance text { fill: #e6edf3 !important; }
}
"""


def draw(report, path):
    """
    Draw the rows that have a label.
    """
    rows = [row for row in report.rows if row.label and row.ratios()]
    if not rows:
        raise SystemExit("nothing was measured that could be drawn")
    labels = _scale([ratio for row in rows for ratio in row.ratios().values()])
    chart = pygal.HorizontalBar(
        title="How many times as fast as other servers (more is better)",
        style=Style(
            background="transparent",
            plot_background="transparent",
            colors=tuple(_COLORS.values()),
            font_family="sans-serif",
            title_font_size=18,
            label_font_size=13,
            major_label_font_size=13,
            legend_font_size=14,
            opacity="1",
        ),
        width=900,
        height=140 + 75 * len(rows),
        margin=16,
        logarithmic=True,
        # Where ours is slower a bar points to the left.
        zero=1,
        y_labels=labels,
        range=(labels[0], labels[-1]),
        value_formatter=lambda value: f"{value:,g}",
        truncate_legend=-1,
        truncate_label=-1,
        legend_at_bottom=True,
        js=[],
        css=["file://style.css", "file://graph.css", _CSS],
    )
    # The same picture of the same values has the same octets.
    chart.uuid = "performance"
    chart.x_labels = [row.label for row in reversed(rows)]
    for name in _COLORS:
        ratios = [row.ratios().get(name) for row in reversed(rows)]
        if any(ratios):
            chart.add(name, ratios)
    chart.add_xml_filter(_without_scripts)
    path.write_bytes(chart.render() + b"\n")


def _scale(ratios):
    """
    Give the lines that there are, up to the next beyond each end.
    """
    lines = [0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1000, 10_000, 100_000]
    below = [line for line in lines if line <= min(ratios)] or lines
    above = [line for line in lines if line >= max(ratios)] or lines
    first, last = min(below[-1], 0.5), max(above[0], 2)
    return [line for line in lines if first <= line <= last]


def _without_scripts(root):
    for parent in root.iter():
        for child in list(parent):
            if str(child.tag).endswith("script"):
                parent.remove(child)
    return root
