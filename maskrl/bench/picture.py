"""The results as a picture: a page that opens offline, and a PNG where a browser is found.

Each dot is the geometric mean over the shares allowed of one shape. The PNG is a
screenshot of the page in headless Chromium; without it the page is all there is, which is
said and not hidden.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from maskrl.bench.results import CellResult, Results, geometric_mean
from maskrl.errors import RunFolderError
from maskrl.figures import LIGHT, bench_ratio_figure

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SHOWN_GROUPS = ("rows", "heads")
WIDTH = 1100
_SETTLE = "--virtual-time-budget=10000"


def ratio_figure(results: Results) -> go.Figure | None:
    """Everybody's ratios at every shape, acting and learning; None without such cells."""
    cells = [c for c in results.cells if c.group in SHOWN_GROUPS and c.ratio(c.ours) is not None]
    if not cells:
        return None
    shapes = list(dict.fromkeys(cell.case for cell in cells))
    panels: dict[str, dict[str, list[float]]] = {}
    for workload in dict.fromkeys(cell.workload for cell in cells):
        these = [cell for cell in cells if cell.workload == workload]
        names = dict.fromkeys(
            t.contender for cell in these for t in cell.timings if t.contender != cell.ours
        )
        panels[workload] = {name: [_mean(these, case, name) for case in shapes] for name in names}
    return bench_ratio_figure(shapes, panels)


def write_picture(figure: go.Figure, folder: Path) -> tuple[list[Path], str | None]:
    """Write ratios.html and, with a browser, ratios.png.

    Returns:
        What was written, and what was not with the reason.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    page = folder / "ratios.html"
    figure = go.Figure(figure)
    figure.update_layout(
        paper_bgcolor=LIGHT.background, plot_bgcolor=LIGHT.background, width=WIDTH, autosize=False
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page.write_text(
            figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}), "utf-8"
        )
    except OSError as error:
        raise RunFolderError(
            f"cannot write {page}: {error.strerror or error}. Choose another --out."
        ) from error
    picture = folder / "ratios.png"
    reason = screenshot(page, picture, width=WIDTH + 16, height=int(figure.layout.height) + 16)
    return ([page], reason) if reason else ([page, picture], None)


def screenshot(page: Path, picture: Path, *, width: int, height: int) -> str | None:
    """Take a PNG of a page; the reason if that is not possible."""
    browser = next((found for found in map(shutil.which, BROWSERS) if found), None)
    if browser is None:
        return "ratios.png is left out: no Chromium was found (apt-get install chromium)"
    picture.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--force-device-scale-factor=2",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            _SETTLE,
            f"--screenshot={picture.resolve()}",
            page.resolve().as_uri(),
        ]
        try:
            subprocess.run([browser, *flags], capture_output=True, timeout=120, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            return f"ratios.png is left out: {Path(browser).name}: {error}"
    return None if picture.is_file() else "ratios.png is left out: the browser wrote none"


def _mean(cells: Sequence[CellResult], case: str, name: str) -> float:
    """Geometric mean of a contender's ratios over the shares allowed; NaN without any."""
    ratios = [cell.ratio(name) for cell in cells if cell.case == case]
    return geometric_mean([ratio for ratio in ratios if ratio is not None])
