"""What was run: settings that all variants share, and every one in which they differ."""

from __future__ import annotations

import json
import re

from maskrl.reports.comparison.settings import settings_section
from maskrl.runs.comparison import read_comparison


def test_what_differs_stands_apart_from_what_is_shared(tmp_path, write_comparison):
    variants = [
        {"label": "<toy>", "env": "<toy>", "tests": [{"mean": 1.0}, None]},
        {"label": "<toy>, naive", "env": "<toy>", "regime": "naive", "tests": [None, None]},
    ]
    folder = write_comparison(tmp_path / "a", variants, seeds=(0, 1), total=100_000)
    path = folder / "compare.json"
    written = json.loads(path.read_text())
    first, second = written["contenders"].values()
    first["ppo"] = {"clip": 0.2, "masked_scores": True, "network": {"hidden": [8]}}
    second["ppo"] = {"clip": 0.2, "masked_scores": False, "network": {"hidden": [8]}}
    second["env_kwargs"] = {"mask_regime": "none"}
    path.write_text(json.dumps(written))
    html = settings_section(read_comparison(folder)).html
    apart, shared = html.split("<details>")
    head = re.findall(r'<th scope="col">(.*?)</th>', apart)
    assert head == ["", "finished", "masked_scores", "mask_regime"]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in apart.split("<tr>")[2:]]
    assert rows == [["1 of 2", "True", ""], ["0 of 2", "False", "none"]]
    assert "ppo.clip" in shared and "ppo.network.hidden" in shared and "masked_scores" not in shared
    assert "Trained by PPO for 100,000 environment steps per run, seeds 0 and 1." in apart
    assert "<toy>" not in html and "&lt;toy&gt;, naive" in apart
