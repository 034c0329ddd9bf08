"""What stands in the way of watching a policy is said on the page, not passed over."""

from __future__ import annotations

import pytest

from maskrl.envs.registry import make
from maskrl.errors import ConfigError
from maskrl.policies.actor_critic import ActorCritic
from maskrl.reports import live_policy
from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.run_data import RunData
from maskrl.runs.checkpoint import save_checkpoint
from maskrl.runs.run_dir import RunDir


@pytest.fixture
def folder_with_policy(run_folder):
    """The run folder with a checkpoint of an untrained panda."""
    env = make("panda")
    policy = ActorCritic(env.observation_space, env.action_space)
    save_checkpoint(
        RunDir(run_folder).last_checkpoint,
        {f"policy.{name}": tensor for name, tensor in policy.state_dict().items()},
        {"policy": policy.to_json()},
    )
    env.close()
    return run_folder


def test_without_a_checkpoint_the_page_says_why(run_folder):
    live = LivePolicy.watch(RunData.read(run_folder))
    assert live.episodes == () and live.scenes == ()
    assert len(live.notes) == 1 and "could not be loaded" in live.notes[0]


def test_without_a_folder_nothing_is_watched(make_run):
    assert LivePolicy.watch(make_run()) == LivePolicy()


def test_a_panda_is_watched_in_episodes_and_scenes(folder_with_policy):
    live = LivePolicy.watch(RunData.read(folder_with_policy), episodes=2)
    assert live.notes == ()
    assert [episode.seed for episode in live.episodes] == [0, 1]
    assert all(episode.illegal_actions == 0 for episode in live.episodes)
    assert [maps.scene for maps in live.scenes] == ["open", "trees"]


def test_foreign_errors_become_notes(folder_with_policy, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the engine is not there")

    def unfit(*_, **__):
        raise ConfigError("other features")

    monkeypatch.setattr(live_policy, "record_episode", broken)
    monkeypatch.setattr(live_policy, "scene_maps", unfit)
    live = LivePolicy.watch(RunData.read(folder_with_policy))
    assert live.notes == (
        "No episode could be played: RuntimeError: the engine is not there",
        "There are no attention maps: other features",
    )


def test_large_pictures_mean_fewer_episodes(folder_with_policy, monkeypatch):
    monkeypatch.setattr(live_policy, "MAX_PICTURE_BYTES", 1)
    assert len(LivePolicy.watch(RunData.read(folder_with_policy)).episodes) == 1
