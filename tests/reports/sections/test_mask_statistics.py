"""What the masks did, in the numbers of the run."""

from __future__ import annotations

import numpy as np

from maskrl.reports.sections.mask_statistics import mask_statistics_section


def test_shares_mass_and_illegal_actions(make_run):
    section = mask_statistics_section(make_run())
    assert list(section.figures) == ["mask-shares", "mask-mass"]
    assert "Illegal actions executed</dt><dd>0</dd>" in section.html
    assert "No step allowed nothing." in section.html
    assert "exactly 0 at every step" in section.html


def test_illegal_actions_are_not_hidden(make_run):
    run = make_run()
    run.metrics["illegal_actions"][-1] = 7
    html = mask_statistics_section(run).html
    assert "<dd>7</dd>" in html and "impossible while" not in html
    # A mask may allow what the rules then refuse, and worlds count that too.
    assert "refused by the mask or by the environment" in html


def test_runs_without_action_mask_have_no_section(make_run):
    metrics = {"step": np.array([1.0]), "return_mean": np.array([0.5])}
    assert mask_statistics_section(make_run(metrics=metrics)) is None
    assert mask_statistics_section(make_run(metrics={})) is None


def test_where_nothing_was_ever_disallowed_there_is_nothing_to_tell(make_run):
    run = make_run()
    run.metrics["allowed_share"][:] = 1.0
    assert mask_statistics_section(run) is None
    run.metrics["illegal_actions"][-1] = 7  # the mask was taken away, and the world counts
    assert "<dd>7</dd>" in mask_statistics_section(run).html


def test_of_a_team_the_unit_is_an_agents_decision(make_run):
    run = make_run()
    run.metrics["agents_acting"] = np.full(run.step.shape, 3.0)
    html = mask_statistics_section(run).html
    assert "mean share per decision of an agent" in html
    assert "of the agents&#x27; decisions only one was" in html
    assert "per step" not in html and "of the steps" not in html
