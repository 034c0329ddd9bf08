"""The figure of what agents earn without their mask while they learn under it."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.reports.comparison.mask_removed import mask_removed_section
from maskrl.runs.comparison import read_comparison


def read(tmp_path, write_comparison, env, tests, **more):
    variants = [
        {"label": env, "env": env, "tests": tests},
        {"label": f"{env}, naive", "env": env, "regime": "naive", "tests": [{"mean": 9.0}] * 2},
    ]
    return read_comparison(write_comparison(tmp_path / "a", variants, seeds=(0, 1), **more))


def test_the_variant_that_played_without_its_mask_has_a_figure(tmp_path, write_comparison):
    tests = [{"mean": 39.0, "without_mask": 10.0}, {"mean": 40.0, "without_mask": 6.0}]
    found = read(tmp_path, write_comparison, "mining-10x10", tests, total=100_000)
    section = mask_removed_section(found, "mining-10x10", 1)
    assert set(section.figures) == {"mask-removed-1-0"} and section.title == "Without the mask"
    traces = section.figures["mask-removed-1-0"].data
    seeds = [trace for trace in traces if trace.opacity == 0.4]
    assert [trace.y[-1] for trace in seeds] == [10.0, 6.0]
    (ours,) = [
        trace for trace in traces if trace.name == "masked" and trace.showlegend is not False
    ]
    # Ten rows of metrics make ten parts, each in the middle of its steps.
    assert list(ours.x) == pytest.approx(np.arange(5_000, 100_000, 10_000))
    (dashed,) = [trace for trace in traces if trace.name == "published" and trace.x[0] is not None]
    assert dashed.y[-1] == pytest.approx(8.7, abs=0.05)
    assert "published runs" in section.html


def test_a_run_that_is_under_way_ends_where_it_is(tmp_path, write_comparison):
    tests = [{"mean": 39.0, "without_mask": 10.0}, None]
    found = read(tmp_path, write_comparison, "elsewhere", tests)
    section = mask_removed_section(found, "elsewhere", 0)
    (figure,) = section.figures.values()
    assert "published" not in {trace.name for trace in figure.data}
    assert "published" not in section.html


def test_without_such_rollouts_there_is_nothing(tmp_path, write_comparison):
    found = read(tmp_path, write_comparison, "mining-4x4", [{"mean": 1.0}, None])
    assert mask_removed_section(found, "mining-4x4", 0) is None
