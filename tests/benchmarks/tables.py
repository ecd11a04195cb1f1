"""
What was measured, as tables for the docs.
"""

from tests.benchmarks import cases


def write(report, path):
    """
    Write a table for each case, the machine, and what was not as with the others.
    """
    lines = [".. Written by python -m tests.benchmarks --rst.", ""]
    lines += [f"Measured on {report.headline()}.", ""]
    for case, title in cases.titles().items():
        rows = [row for row in report.rows if row.case == case]
        if rows:
            lines += _table(title, rows)
    if report.notes:
        lines += ["Not as with the others:", ""]
        lines += [f"- {note}" for note in report.notes]
    path.write_text("\n".join(lines).rstrip() + "\n", "utf-8")


def _table(title, rows):
    # Ours is always the first; a row that has it twice names the other one.
    others = list(dict.fromkeys(name for row in rows for name in list(row.values)[1:]))
    yield from (f".. list-table:: {title}", "   :header-rows: 1", "")
    yield from _cells(["", "extretr", *others])
    for row in rows:
        ratios = row.ratios()
        cells = [row.title, f"{row.told(next(iter(row.values)))} {row.unit}"]
        for name in others:
            told = row.told(name) if name in row.values else ""
            cells.append(f"{told} ({ratios[name]:.2f})" if name in ratios else told)
        yield from _cells(cells)
    yield ""


def _cells(cells):
    for number, cell in enumerate(cells):
        yield f"   {'* -' if number == 0 else '  -'} {cell}".rstrip()
