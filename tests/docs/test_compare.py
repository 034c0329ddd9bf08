"""The page on comparisons is true: its commands can be planned, its columns and files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from maskrl.cli.algorithm_options import algorithm_in
from maskrl.cli.compare import _parse, asked_for
from maskrl.cli.compare_variants import variants_of
from maskrl.runs.comparison import read_comparison
from maskrl.runs.comparison_figures import LEAST_GAP, WAY, comparison_figures
from maskrl.runs.comparison_tables import write_tables
from maskrl.trainers.algorithms import ALGORITHMS
from maskrl.trainers.final_evaluation import EPISODES
from maskrl.trainers.update_divergence import DIVERGENCES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "compare.md").read_text("utf-8")
COMMANDS = re.findall(r"^maskrl (compare .*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_planned(command):
    argv = shlex.split(command)[1:]
    algorithm = algorithm_in(argv, verb="compare")
    options = _parse(argv, ALGORITHMS[algorithm].config(), algorithm)
    found = variants_of(options.env_ids, asked_for(options, argv, algorithm))
    assert len(found) >= 2 and len({one.label for one in found}) == len(found)


def test_numbers_and_names_are_those_of_the_package(tmp_path, write_comparison):
    assert len(COMMANDS) == 3
    assert f"at least {LEAST_GAP:.0%}".replace("%", " %") in PAGE
    assert f"({WAY:.0%} of the way".replace("%", " %") in PAGE
    assert f"episodes ({EPISODES};" in " ".join(PAGE.split())
    assert all(f"| `{name}` |" in PAGE for name in DIVERGENCES)
    variants = [{"label": "toy", "env": "toy", "tests": [{"mean": 1.0}]}]
    comparison = read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0,)))
    written = write_tables(comparison, comparison_figures(comparison))
    assert all(f"| `{path.name}` |" in PAGE for path in written)
