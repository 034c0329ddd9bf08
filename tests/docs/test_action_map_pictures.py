"""The picture of the action map is what its command makes."""

from __future__ import annotations

import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURE = REPOSITORY / "docs" / "images" / "action-map.svg"
CHANGING = ("×", "waits", "dead")


def texts(path: Path) -> list[str]:
    """What is written in a picture, in order, but for what a team's decisions change."""
    found = ["".join(e.itertext()) for e in ET.parse(path).iter() if e.tag.endswith("}text")]
    return [text for text in found if text not in CHANGING]


def test_the_picture_is_made_by_its_command(tmp_path, monkeypatch):
    made = tmp_path / "made.svg"
    arguments = ["action_map_pictures.py", "--steps", "1", "--out", str(made)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(REPOSITORY / "examples" / "action_map_pictures.py"), run_name="__main__")
    assert texts(made) == texts(PICTURE)
    assert [f"panda {n}" for n in range(1, 9)] == texts(made)[-8:]
    assert PICTURE.stat().st_size < 100_000 and made.stat().st_size < 100_000
