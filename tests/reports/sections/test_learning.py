"""Learning curves: those that the run has, with captions of its own numbers."""

from __future__ import annotations

import numpy as np

from maskrl.reports.sections.learning import learning_section


def test_a_panda_run(make_run):
    section = learning_section(make_run())
    assert list(section.figures)[:3] == ["curve-score", "curve-return", "curve-entropy"]
    assert {"curve-policy_loss", "curve-value_loss"} <= set(section.figures)
    texts = [note.text for note in section.figures["curve-score"].layout.annotations]
    assert texts == ["planner", "random valid play"]
    texts = [note.text for note in section.figures["curve-return"].layout.annotations]
    assert texts == ["planner", "random valid play"]
    for name in section.figures:
        assert f'id="{name}"' in section.html


def test_without_score_the_evaluations_show_their_return(make_run):
    section = learning_section(make_run("gymnasium:Taxi-v4", scored=False))
    assert "curve-score" not in section.figures
    texts = [note.text for note in section.figures["curve-eval_return"].layout.annotations]
    assert texts == ["random valid play"]


def test_columns_that_were_not_written_are_left_out(make_run):
    run = make_run()
    kept = {name: run.metrics[name] for name in ("step", "return_mean")}
    section = learning_section(make_run(metrics=kept))
    assert list(section.figures) == ["curve-return"]
    assert learning_section(make_run(metrics={})) is None


def test_the_return_at_the_start_is_not_that_of_the_first_short_episodes(make_run):
    """What ends within a rollout succeeded or failed early; it is no mean of the policy."""
    columns = {
        "step": np.array([100.0, 200.0, 300.0]),
        "return_mean": np.array([1.0, 0.25, 0.5]),
        "episodes": np.array([3.0, 120.0, 240.0]),
    }
    html = learning_section(make_run(metrics=columns)).html
    assert "from 0.25 after the first 100 to 0.50 at the end" in html
    few = learning_section(make_run(metrics=columns | {"episodes": np.array([3.0, 6.0, 9.0])}))
    assert "from 1.00 at the start to 0.50" in few.html
