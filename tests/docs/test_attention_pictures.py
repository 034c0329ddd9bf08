"""The page on looking at attention is true, and its picture is what its command makes."""

from __future__ import annotations

import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "attention-pictures.md"
PICTURE = REPOSITORY / "docs" / "images" / "attention-trees.svg"


def texts(path: Path) -> list[str]:
    """What is written in a picture, in order, numbers left out."""
    found = ["".join(e.itertext()) for e in ET.parse(path).iter() if e.tag.endswith("}text")]
    return [text for text in found if not text.lstrip("<.").isdigit()]


def test_programs_print_what_is_shown(program):
    assert program(PAGE).run().statements == 2


def test_the_page_is_found():
    assert "attention-pictures.md" in (REPOSITORY / "docs" / "README.md").read_text("utf-8")


def test_the_picture_is_made_by_its_command(tmp_path, monkeypatch):
    made = tmp_path / "made.svg"
    arguments = ["attention_pictures.py", "--steps", "1", "--out", str(made)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(REPOSITORY / "examples" / "attention_pictures.py"), run_name="__main__")
    assert texts(made) == texts(PICTURE)
    assert texts(made).count("×") == 6  # three who do not see the scorpion, in two matrices
    assert PICTURE.stat().st_size < 100_000 and made.stat().st_size < 100_000
