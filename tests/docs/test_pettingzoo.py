"""The page on PettingZoo is true: its program runs and prints what is shown."""

from __future__ import annotations

from pathlib import Path

from maskrl.envs.adapters.pettingzoo_parallel import TEAM_OPTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "pettingzoo.md"


def test_the_program_prints_what_is_shown(program):
    assert program(PAGE).run().statements >= 3


def test_every_setting_of_the_adapter_is_told():
    text = PAGE.read_text("utf-8")
    assert all(f"`{name}`" in text for name in TEAM_OPTIONS)
