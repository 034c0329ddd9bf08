"""The page on values is true of the settings that come with the worlds, and its commands parse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from maskrl.cli import train
from maskrl.cli.settings import preset_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "experiments" / "values.md"
TEXT = PAGE.read_text("utf-8")
CONCEPT = (ROOT / "docs" / "concepts" / "q-values.md").read_text("utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_are_understood(words, monkeypatch):
    if words[0] == "python":
        assert (ROOT / words[1]).is_file() and len(words) == 2
        return
    program, verb, *rest = words
    assert program == "maskrl"
    if verb == "compare":
        assert shlex.join(words) in CONCEPT
        return
    assert verb == "train"
    trained = []
    monkeypatch.setattr(train, "_train", lambda options: trained.append(options) or 0)
    assert train.run(rest) == 0
    (options,) = trained
    assert options.algorithm in ("dqn", "sac") and options.seed == 0


@pytest.mark.parametrize(
    ("env_id", "algorithm", "steps"),
    [
        ("gymnasium:Taxi-v4", "dqn", 160_000),
        ("gymnasium:Taxi-v4", "sac", 200_000),
        ("panda?sight=full", "dqn", 400_000),
        ("panda", "ppo", 1_500_000),
    ],
)
def test_steps_are_those_of_the_presets(env_id, algorithm, steps):
    assert preset_of(env_id, algorithm)[1] == steps
    assert f"{steps:,}" in TEXT


def test_soft_actor_critic_settles_when_the_page_says():
    config, steps = preset_of("gymnasium:Taxi-v4", "sac")
    assert round(config.entropy_fraction * steps) == 110_000
    assert "which is at 110,000" in TEXT


def test_what_the_pages_say_of_the_same_runs_is_the_same():
    rows = [row for row in CONCEPT.splitlines() if re.match(r"\| (masked|naive: |none: )", row)]
    assert len(rows) == 3
    assert all(row in TEXT for row in rows)


def test_links_lead_somewhere_and_here():
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (PAGE.parent / link).resolve().is_file(), link
    assert "experiments/values.md" in (ROOT / "docs" / "README.md").read_text("utf-8")
    assert "experiments/values.md" in (ROOT / "README.md").read_text("utf-8")
