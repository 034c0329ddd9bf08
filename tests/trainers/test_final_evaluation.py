"""The final evaluation: the agent beside everything it should be compared with."""

from __future__ import annotations

import pytest
import torch

from maskrl.errors import ConfigError, RunFolderError
from maskrl.runs.json_file import to_json
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.final_evaluation import evaluate_run, standard_episodes


@pytest.fixture(scope="module")
def result(small_run):
    return evaluate_run(small_run, episodes=6)


def test_all_play_the_same_number_of_test_episodes(result):
    for played in (result.greedy, result.sampled, result.untrained, result.random):
        assert played.episodes == 6
        assert played.env_kwargs["split"] == "test"
        assert played.illegal_actions == 0
    assert result.greedy.deterministic and not result.sampled.deterministic
    assert (result.checkpoint, result.step) in {("best", 64), ("best", 128)}
    assert result.training_illegal_actions == 0


def test_the_file_has_the_figures_that_reports_and_summaries_read(result):
    figures = result.to_json()
    assert to_json(figures)
    assert figures["mean"] == result.greedy.mean
    assert figures["score"] == result.greedy.score
    assert figures["untrained_mean"] == result.untrained.mean
    assert figures["random_mean"] == result.greedy.random_mean
    assert figures["planner_mean"] > 0.9
    assert figures["sampled"]["mean"] == result.sampled.mean
    assert figures["illegal_actions"] == figures["training_illegal_actions"] == 0


def test_the_last_checkpoint_may_be_asked_for(small_run):
    last = evaluate_run(small_run, episodes=2, which="last")
    assert (last.checkpoint, last.step) == ("last", 128)


def test_the_global_random_stream_stays(small_run):
    before = torch.get_rng_state()
    evaluate_run(small_run, episodes=2)
    assert torch.equal(before, torch.get_rng_state())


def test_what_cannot_be_evaluated_is_named(small_run, tmp_path):
    with pytest.raises(ConfigError, match="episodes must be at least 1"):
        evaluate_run(small_run, episodes=0)
    empty = RunDir.create(tmp_path / "run")
    empty.write_config({"env": "panda-open", "seed": 0})
    with pytest.raises(RunFolderError, match="there is no checkpoint"):
        evaluate_run(empty, episodes=1)
    empty.write_config({"env": None, "env_name": "Corridor", "seed": 0})
    with pytest.raises(ConfigError, match="Corridor, .* given as an object"):
        evaluate_run(empty, episodes=1)


def test_layouts_of_the_training_are_no_test(small_run, monkeypatch):
    config = small_run.read_config()
    config["env_kwargs"] = {**(config.get("env_kwargs") or {}), "layout_seeds": [77, 78]}
    monkeypatch.setattr(RunDir, "read_config", lambda self: config)
    result = evaluate_run(small_run, episodes=2)
    assert result.greedy.env_kwargs["layout_seeds"] == 2
    again = evaluate_run(small_run, episodes=2, env_kwargs={"layout_seeds": [77, 78]})
    assert again.greedy.env_kwargs["layout_seeds"] == [77, 78]


def test_more_test_episodes_where_layouts_have_a_reference():
    assert standard_episodes("panda?sight=full") == 500
    assert standard_episodes("gymnasium:Taxi-v4") == 200


def test_few_test_episodes_where_all_begin_alike_and_only_the_agent_is_random():
    usual = {"panda": 500, "panda-open": 500, "pandas": 500, "packing": 500, "outpost": 500}
    assert {env_id: standard_episodes(env_id) for env_id in usual} == usual
    for board in ("4x4", "10x10", "16x16", "24x24"):
        assert standard_episodes(f"mining-{board}") == 50
    assert standard_episodes("mining-4x4?masks=published") == 50
