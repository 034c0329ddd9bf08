"""Reports: one self-contained HTML page from a run folder, or from a comparison's.

`write_report` is the way in. `run_data` reads the folder, `live_policy` loads
the trained policy and watches it act, `sections/` has one file per part of the
page, `page` puts them together with the files of `templates/`.
"""

from __future__ import annotations

from maskrl.reports.comparison import write_comparison_report
from maskrl.reports.page import render_page, write_report

__all__ = ["render_page", "write_comparison_report", "write_report"]
