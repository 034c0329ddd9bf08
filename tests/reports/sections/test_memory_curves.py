"""Curves of what learns from a memory of transitions."""

from __future__ import annotations

import numpy as np
import pytest

from maskrl.reports.sections.header import header_html
from maskrl.reports.sections.learning import learning_section
from maskrl.reports.sections.mask_statistics import mask_statistics_section
from maskrl.reports.sections.memory_curves import exploration, q_values

STEP = np.array([2000.0, 4000.0, 6000.0, 8000.0])


def dqn_metrics():
    return {
        "step": STEP,
        "return_mean": np.array([-190.0, -100.0, 2.0, 6.0]),
        "episodes": np.array([10.0, 150.0, 300.0, 500.0]),
        "eval_return": np.array([np.nan, -50.0, np.nan, 7.5]),
        "replay_size": np.array([2000.0, 4000.0, 6000.0, 6000.0]),
        "loss": np.array([np.nan, 0.5, 0.4, 0.3]),
        "td_error": np.array([np.nan, 1.5, 1.25, 0.75]),
        "q_mean": np.array([np.nan, -3.0, 1.0, 4.0]),
        "target_mean": np.array([np.nan, -3.5, 1.0, 4.0]),
        "epsilon": np.array([1.0, 0.5, 0.02, 0.02]),
        "disallowed_mass": np.array([np.nan, 0.6, 0.4, 0.25]),
        "allowed_share": np.full(4, 0.5),
        "illegal_actions": np.zeros(4),
    }


def sac_metrics():
    kept = {k: v for k, v in dqn_metrics().items() if k not in ("epsilon", "loss")}
    return kept | {
        "q_mean": np.array([np.nan, -2.0, 1.0, 5.0]),
        "entropy": np.array([np.nan, 0.7, 0.5, 0.1]),
        "entropy_share": np.array([np.nan, 0.6, 0.4, 0.125]),
        "entropy_share_target": np.array([0.5, 0.3, 0.1, 0.02]),
        "temperature": np.array([0.1, 0.2, 0.1, 0.05]),
        "critic_loss": np.array([np.nan, 2.0, 1.0, 0.5]),
        "policy_loss": np.array([np.nan, 2.0, 1.0, -0.5]),
    }


@pytest.fixture
def dqn(make_run):
    run = make_run("gymnasium:Taxi-v4", scored=False, metrics=dqn_metrics())
    return _as(run, "dqn")


@pytest.fixture
def sac(make_run):
    return _as(make_run("gymnasium:Taxi-v4", scored=False, metrics=sac_metrics()), "sac")


def _as(run, algorithm):
    run.config.pop("ppo")
    run.config.update(algorithm=algorithm, **{algorithm: {"network": {"memory": "none"}}})
    return run


def test_values_and_their_error_are_told(dqn, sac):
    name, title, figure, caption = q_values(dqn)
    assert (name, title) == ("q_values", "Q-values")
    assert list(figure.data[0].y) == [-3.0, 1.0, 4.0]
    assert "from −3.00 to 4.00 at the end, 0.75 from its targets" in caption
    assert list(q_values(sac)[2].data[0].y) == [-2.0, 1.0, 5.0]


def test_epsilon_says_where_it_ends(dqn):
    caption = exploration(dqn)[3]
    assert "from 100\N{NO-BREAK SPACE}% to 2\N{NO-BREAK SPACE}%" in caption
    assert "reached after 6,000 steps" in caption


def test_entropy_stands_beside_its_aim(sac):
    name, _, figure, caption = exploration(sac)
    assert name == "entropy_share" and len(figure.data) == 2
    assert list(figure.data[1].y) == [0.5, 0.3, 0.1, 0.02]
    assert (
        "ends at 12\N{NO-BREAK SPACE}%" in caption
        and "was to end at 2\N{NO-BREAK SPACE}%" in caption
    )


def test_the_section_has_what_the_algorithm_measures(dqn, sac):
    of_dqn, of_sac = learning_section(dqn), learning_section(sac)
    assert {"curve-q_values", "curve-epsilon", "curve-td_error", "curve-loss"} <= set(
        of_dqn.figures
    )
    assert "curve-entropy" not in of_dqn.figures
    assert {"curve-q_values", "curve-entropy_share", "curve-temperature"} <= set(of_sac.figures)
    assert "curve-entropy" not in of_sac.figures
    assert "also tried at random" in of_dqn.html and "best allowed action" in of_dqn.html
    assert "clipped surrogate" not in of_sac.html and "of the soft policy" in of_sac.html


def test_a_run_of_naive_targets_claims_nothing_else(dqn):
    dqn.config["dqn"]["masked_targets"] = False
    assert "this is the naive regime" in q_values(dqn)[3]
    assert "are in no target" not in q_values(dqn)[3]
    html = mask_statistics_section(dqn).html
    assert "bootstrap from it, though" in html and "neither happens" not in html
    assert "A DQN agent under masks in acting, not in its targets" in header_html(dqn)


def test_a_run_without_masks_says_so(dqn):
    dqn.config["env_kwargs"] = {"mask_regime": "penalty:0.1"}
    assert "A DQN agent without masks (regime penalty:0.1)" in header_html(dqn)


def test_the_temperature_is_that_of_the_algorithm(dqn, sac):
    dqn.metrics["temperature"] = np.linspace(1.0, 0.02, 4)
    dqn.metrics["beyond_atoms"] = np.array([np.nan, 0.5, 0.25, 0.0])
    made = learning_section(dqn)
    assert "as likely" in made.html and "Alpha" not in made.html
    assert "curve-beyond_atoms" in made.figures
    assert "Alpha" in learning_section(sac).html


def test_a_run_of_ppo_has_none_of_it(make_run):
    run = make_run()
    assert q_values(run) is None and exploration(run) is None
    assert not {"curve-q_values", "curve-replay_size"} & set(learning_section(run).figures)


def test_the_header_tells_of_all_starts(dqn):
    starts = {"starts": 300, "mean": 7.9, "optimum": 7.93, "unsolved": 0}
    dqn.evaluation["all_starts"] = starts
    html = header_html(dqn)
    assert "From all 300 starts" in html and "7.90" in html
    assert "optimum 7.93, none unsolved" in html
    dqn.evaluation["all_starts"] = {**starts, "unsolved": 4}
    assert "4 unsolved" in header_html(dqn)


def test_header_and_masks_speak_of_the_algorithm(dqn, sac):
    assert "A DQN agent under masks" in header_html(dqn)
    assert "best actions" in header_html(dqn)
    assert "A discrete SAC agent under masks" in header_html(sac)
    html = mask_statistics_section(dqn).html
    assert "a disallowed action has the largest Q-value of all: 60.0" in html
    assert "its mask removed" in mask_statistics_section(sac).html
