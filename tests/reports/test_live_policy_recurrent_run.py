"""A run with memory from end to end: trained, tested, watched, reported."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from maskrl.cli.watch import play
from maskrl.networks.encoders import NetworkConfig
from maskrl.policies import load_policy, record_episode
from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.page import render_page
from maskrl.reports.run_data import RunData
from maskrl.runs.run_dir import RunDir
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.final_evaluation import evaluate_run
from maskrl.trainers.ppo import PPO, PPOConfig

WORLD = {"panda_view_radius": 2}


@pytest.fixture(scope="module", params=["gru", "lstm-twice"])
def run(request, tmp_path_factory):
    memory, _, twice = request.param.partition("-")
    config = PPOConfig(
        num_envs=16,
        rollout_steps=16,
        minibatch_size=64,
        epochs=1,
        threads=1,
        evaluate_every=1,
        evaluation_episodes=4,
        network=NetworkConfig(
            hidden=(8,),
            entity_dim=8,
            entity_heads=2,
            memory=memory,
            memory_size=8,
            shared=bool(twice),
            critic_sees="everything",
        ),
    )
    folder = RunDir.create(tmp_path_factory.mktemp("runs") / "run")
    trainer = PPO("panda", config, seed=1, env_kwargs=WORLD)
    trainer.learn(2 * config.batch_size, run_dir=folder)
    return folder


def test_its_best_policy_remembers(run):
    policy = load_policy(run)
    assert policy.state_size > 0
    assert policy.config.memory in ("gru", "lstm")


def test_it_is_tested_beside_its_references(run):
    result = evaluate_run(run, episodes=6)
    assert result.greedy.episodes == result.sampled.episodes == result.untrained.episodes == 6
    assert result.greedy.illegal_actions == 0
    assert result.greedy.score is not None
    again = evaluate(load_policy(run), "panda", episodes=6, env_kwargs=WORLD)
    np.testing.assert_array_equal(again.returns, result.greedy.returns)
    json.dumps(result.to_json())


def test_it_is_watched_in_a_terminal(run):
    console = Console(file=io.StringIO(), width=100)
    record = record_episode(load_policy(run), "panda", WORLD, pictures="ansi", max_steps=5)
    play(record, console, name="episode 1 of 1", speed=1000.0)
    shown = console.file.getvalue()
    assert shown.count("step ") >= len(record.steps)
    assert "panda" in shown


def test_its_report_shows_episodes_decisions_and_attention(run):
    data = RunData.read(run.path)
    live = LivePolicy.watch(data, episodes=1)
    assert live.notes == ()
    assert len(live.episodes) == 1
    assert [maps.scene for maps in live.scenes] == ["open", "trees"]
    for episode in live.episodes:
        assert episode.illegal_actions == 0
        assert all(len(step.attention) == 2 for step in episode.steps)
    page = render_page(data, live)
    for part in ('id="viewer"', 'data-part="attention"', "Who attends to whom"):
        assert part in page
