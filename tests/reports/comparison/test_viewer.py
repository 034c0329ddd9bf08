"""An episode of every variant: the best seed's, and once more without the mask."""

from __future__ import annotations

import json

import pytest

from maskrl.reports.comparison.viewer import play_variants, viewer_section
from maskrl.runs.comparison import ComparedRun, Variant
from maskrl.runs.run_dir import RunDir


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    """A variant with one short run on the open scene of the panda."""
    from maskrl.networks.encoders import NetworkConfig
    from maskrl.trainers.ppo import PPO
    from maskrl.trainers.ppo_config import PPOConfig

    network = NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1)
    config = PPOConfig(
        num_envs=2,
        rollout_steps=16,
        minibatch_size=32,
        epochs=1,
        threads=1,
        evaluate_every=0,
        network=network,
    )
    run = RunDir.create(tmp_path_factory.mktemp("variant") / "run")
    PPO("panda-open", config, seed=0).learn(32, run_dir=run)
    test = {"mean": 1.0, "mask_removed": {"env_kwargs": {"mask_regime": "none"}}}
    return Variant(
        "panda-open",
        "panda-open",
        "masked",
        {},
        "ppo",
        {"env": "panda-open", "env_kwargs": {}, "total_steps": 32},
        (ComparedRun(run.path, 0, test), ComparedRun(None, 1)),
    )


def test_the_masked_agent_plays_with_its_mask_and_without(variant):
    played, notes = play_variants([variant])
    assert [name for name, _ in played] == ["masked", "masked, mask removed"] and notes == []
    masked, removed = (episode for _, episode in played)
    assert not all(step.action_mask.all() for step in masked.steps)
    assert all(step.action_mask.all() for step in removed.steps)
    section, _ = viewer_section([variant])
    assert 'aria-pressed="true">masked</button>' in section.html
    assert ">masked, mask removed</button>" in section.html
    assert "its best seed in the test plays, seed 0 of “masked”." in section.html
    assert len(section.data["episodes"]["episodes"]) == 2
    json.dumps(section.data, allow_nan=False)


def test_what_cannot_be_played_is_a_note(variant, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"format": 1}')
    broken = ComparedRun(tmp_path / "run", 0, {"mean": 2.0})
    gone = Variant("x", "x", "naive", {}, "ppo", variant.settings, (broken,))
    played, notes = play_variants([gone, variant])
    assert len(played) == 2 and len(notes) == 1
    assert notes[0].startswith("No episode of naive could be played:")
    unfinished = Variant("y", "y", "none", {}, "ppo", variant.settings, (ComparedRun(None, 0),))
    assert viewer_section([unfinished]) == (None, [])
