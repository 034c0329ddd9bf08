"""`maskrl report RUN`: writes a run's report and says where it lies.

The page itself is made by `maskrl.reports`; nothing is trained or changed here.
"""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import tyro

from maskrl.runs.comparison import SETTINGS_FILE
from maskrl.runs.run_dir import RunDir


def report(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    out: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: in the run)")
    ] = None,
    open_browser: Annotated[bool, tyro.conf.arg(name="open")] = False,
) -> int:
    """Write a run's report: one HTML file that opens offline, in any browser.

    Learning curves under the planner's ceiling or beside another
    reference, the head of one step as logits, mask and
    probabilities, attention with and without mask as maps and as arrows in the picture,
    episodes to step through, and what the masks did.

    Examples:
      maskrl report runs/panda-0-1
      maskrl report runs/panda-0-1 --out panda.html --open
      maskrl report runs/compare-panda

    Args:
        run: Folder of the run, or of a comparison.
        out: Where to write it.
        open_browser: Open it when it is written.
    """
    from maskrl.reports import write_comparison_report, write_report

    if (run / SETTINGS_FILE).is_file():
        path = write_comparison_report(run, out=out)
    else:
        path = write_report(RunDir.open(run).path, out=out)
    print(f"report   {path.resolve()}")
    if open_browser:
        webbrowser.open(path.resolve().as_uri())
    return 0
