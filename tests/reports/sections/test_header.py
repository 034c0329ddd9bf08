"""The page's head: the main figures where they are known, nothing made up where not."""

from __future__ import annotations

import numpy as np

from maskrl.reports.sections.header import header_html


def test_a_panda_run_has_its_score_between_random_and_planner(make_run):
    html = header_html(make_run())
    assert "<h1>panda</h1>" in html and "sight = trees" in html
    for part in ("0.87", "0.72", "−0.58", "0.91", "−0.66"):
        assert part in html
    assert 'style="width:87.25%"' in html
    assert "Illegal actions</dt><dd>0</dd>" in html
    assert "never saw in training" in html and "best checkpoint" not in html


def test_an_earlier_checkpoint_is_named(make_run):
    run = make_run()
    html = header_html(make_run(evaluation={**run.evaluation, "step": 800_000}))
    assert "; its best checkpoint, after 800,000 steps, judged in 200 episodes" in html


def test_a_memory_is_named(make_run):
    config = make_run().config
    for memory, words in (("gru", "that remembers by a GRU,"), ("lstm", "by an LSTM,")):
        ppo = {**config["ppo"], "network": {"memory": memory}}
        assert words in header_html(make_run(config={**config, "ppo": ppo}))
    assert "remembers" not in header_html(make_run())


def test_a_run_without_reference_has_no_track(make_run):
    html = header_html(make_run("gymnasium:Taxi-v4", scored=False))
    assert "score-track" not in html and "never saw" not in html
    assert "Random valid play</dt><dd>−0.58</dd>" in html


def test_an_unevaluated_run_shows_the_training_return(make_run):
    html = header_html(make_run(evaluation={}))
    assert "last 100 episodes of training" in html
    assert "nan" not in html and "not measured" not in html


def test_settings_in_the_id_become_chips_and_a_picture_is_shown(make_run):
    html = header_html(make_run(config={"env": "panda?sight=full"}), np.zeros((4, 4, 3), np.uint8))
    assert "<h1>panda</h1>" in html and "sight = full" in html
    assert 'class="portrait" src="data:image/png;base64,' in html


def test_scores_outside_the_track_stay_on_the_page(make_run):
    evaluation = make_run().evaluation
    above = header_html(make_run(evaluation={**evaluation, "score": 1.02}))
    below = header_html(make_run(evaluation={**evaluation, "score": -0.3}))
    assert "width:100.00%" in above and "above the planner" in above
    assert "width:0.00%" in below and "worse than random" in below


def test_names_are_escaped(make_run):
    html = header_html(make_run("<script>x</script>"))
    assert "<script" not in html and "&lt;script&gt;" in html
