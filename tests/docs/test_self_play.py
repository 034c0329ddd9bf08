"""The page on self-play is true: its programs print what is shown, its settings are all there."""

from __future__ import annotations

import re
from pathlib import Path

from maskrl.envs.adapters.pettingzoo_ids import SELF_PLAYED
from maskrl.envs.adapters.pettingzoo_versus import SELF_PLAY_OPENINGS
from maskrl.envs.versus.settings import GAME_OPTIONS, VersusSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "self-play.md"


def test_the_programs_print_what_is_shown(program):
    assert program(PAGE).run().statements >= 4


def test_every_setting_is_told_with_what_holds():
    rows = PAGE.read_text("utf-8").split("## Settings")[1].split("## ")[0]
    told = {}
    for names, value in re.findall(r"^\| (`[^|]*`) \| ([^|]*) \|", rows, re.MULTILINE):
        told.update(dict.fromkeys(re.findall(r"`(\w+)`", names), value))
    assert set(told) == set(GAME_OPTIONS)
    settings = VersusSettings()
    for name in ("opponent", "seat", "opening_moves", "pool_size", "pool_every", "pool_current"):
        assert told[name].strip("`").startswith(str(getattr(settings, name))), name
    assert SELF_PLAY_OPENINGS["connect_four_v3"] in told["opening_moves"]


def test_games_that_are_named_are_known():
    text = PAGE.read_text("utf-8")
    for name in SELF_PLAYED:
        assert re.search(rf"\b{name}_v\d", text), name


def test_the_table_of_connect_four_names_its_command():
    figures = PAGE.read_text("utf-8").split("figures begin -->")[1].split("<!--")[0]
    assert "maskrl train pettingzoo:connect_four_v3" in figures
    assert "examples/connect_four.py" in figures
    for opponent in ("random", "win_or_block", "depth:2", "depth:4"):
        assert f"| `{opponent}` |" in figures
