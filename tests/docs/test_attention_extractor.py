"""The loop of one's own: short, quoted as it is, and it learns under both masks."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = (REPOSITORY / "examples" / "attention_extractor.py").read_text("utf-8")
PROGRAM = SOURCE[SOURCE.index("import torch") :]


def test_it_is_short_and_quoted():
    code = [line for line in PROGRAM.splitlines() if line.strip(' "') and '"""' not in line]
    assert len(code) < 30
    page = (REPOSITORY / "docs" / "concepts" / "feature-masks.md").read_text("utf-8")
    assert f"```py\n{PROGRAM}```" in page


def test_it_learns_and_its_panda_does_not_see_what_is_hidden():
    """A third of its updates: from bumping into the dragon to earning more than it loses."""
    shorter = PROGRAM.replace("range(60)", "range(24)")
    assert shorter != PROGRAM
    output, names = io.StringIO(), {"__name__": "example"}
    with contextlib.redirect_stdout(output):
        exec(compile(shorter, "attention_extractor.py", "exec"), names)
    rewards = [float(r) for r in re.findall(r"reward per step (-?[\d.]+)", output.getvalue())]
    assert len(rewards) == 24
    assert sum(rewards[-6:]) / 6 > sum(rewards[:6]) / 6 + 0.04

    obs = {key: entry.copy() for key, entry in names["obs"].items()}
    unseen = ~obs["visibility"][:, 0]
    assert unseen.any()
    with torch.no_grad():
        before = names["act"](obs)[0].probs
        obs["entities"][unseen] += 1.0
        after = names["act"](obs)[0].probs
    assert torch.equal(before, after)
