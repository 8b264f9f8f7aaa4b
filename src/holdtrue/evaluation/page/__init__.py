"""The report as one page: self-contained, without script, readable when printed.

The path through this package:
    axes.py       scales and ticks
    charts.py     pictures as SVG, coloured by the page's style
    sections.py   which pictures a report has
    page.py       the page around them
"""

from holdtrue.evaluation.page.page import render

__all__ = ["render"]
