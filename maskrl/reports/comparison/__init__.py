"""The report of a comparison: one page from its folder.

`findings` says in words what the numbers say, `sections` makes the parts of the page,
`viewer` plays an episode of every regime, and `page` puts them together.
"""

from __future__ import annotations

from maskrl.reports.comparison.page import write_comparison_report

__all__ = ["write_comparison_report"]
