"""The page on handing over masks is true: its programs run, and no setting is left out."""

from __future__ import annotations

import re
from pathlib import Path

from maskrl.envs.adapters.mask_sources import NAMES
from maskrl.envs.construct import MASK_OPTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "environments.md"


def test_the_programs_print_what_is_shown(program):
    assert program(PAGE).run().statements >= 15


def test_every_setting_and_name_is_told():
    text = PAGE.read_text("utf-8")
    rows = text.split("## Settings")[1].split("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)) == set(MASK_OPTIONS)
    for name in NAMES:
        assert f"`{name.removeprefix('get_')}`" in text, name


def test_every_example_of_the_table_is_there():
    text = PAGE.read_text("utf-8")
    anchors = set(re.findall(r"\]\(#([\w-]+)\)", text))
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("##")
    }
    assert anchors <= headings and len(anchors) >= 9
