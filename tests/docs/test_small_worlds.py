"""The training of the small worlds with and without the mask, in its smallest size.

What hides the mask hides all of it and nothing else, what judges agents is fed agents whose
figures are known beforehand, and the command trains, tells, writes and does not repeat.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskrl.envs import make_vec
from maskrl.envs.contract import action_tree_of, describe
from maskrl.trainers.ppo import PPO, PPOConfig

SCRIPT = Path(__file__).parents[2] / "examples" / "small_worlds.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("small_worlds", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("world", ["packing", "outpost"])
def test_hidden_masks_are_true_and_all_else_is_as_it_was(script, world) -> None:
    told = make_vec(world, 64, seed=3)
    hidden = script.HiddenMask(make_vec(world, 64, seed=3))
    tree = action_tree_of(hidden)
    assert tree == action_tree_of(told) and (tree is None) == (world == "packing")
    about = describe(hidden.single_observation_space, hidden.single_action_space, tree)
    rng = np.random.default_rng(0)
    pairs = [(told.reset(seed=5), hidden.reset(seed=5))]
    some_false = finals = timed_out = 0
    for _ in range(20):
        size = (64, len(about.nvec)) if tree else 64
        actions = rng.integers(0, about.nvec if tree else about.n_actions, size=size)
        pairs.append((told.step(actions), hidden.step(actions)))
    for ours, theirs in pairs:
        observations = [(ours[0], theirs[0])]
        if "final_obs" in ours[-1]:
            observations.append((ours[-1]["final_obs"], theirs[-1]["final_obs"]))
            finals += 1
        for expected, got in observations:
            for name in about.features:
                np.testing.assert_array_equal(got[name], expected[name])
            for name in about.masks:
                assert got[name].dtype == np.bool_ and got[name].shape == expected[name].shape
                assert got[name].all()
                some_false += not expected[name].all()
        if len(ours) == 5:
            np.testing.assert_array_equal(theirs[1], ours[1])
            np.testing.assert_array_equal(theirs[2], ours[2] | ours[3])
            timed_out += int(ours[3].sum())
            assert not theirs[3].any()
        np.testing.assert_array_equal(ours[-1]["layout_id"], theirs[-1]["layout_id"])
    assert some_false and finals and (timed_out > 0) == (world == "packing")
    assert hidden.illegal_actions == told.illegal_actions > 0
    saved = hidden.get_state()
    hidden.step(actions)
    hidden.set_state(saved)
    np.testing.assert_array_equal(hidden.get_state()["state"], told.get_state()["state"])


def test_a_blindfolded_policy_gives_every_slot_a_chance(script) -> None:
    venv = make_vec("packing?slots=20", 8, seed=0)
    policy = PPO(venv, PPOConfig(rollout_steps=32)).policy
    obs, _ = venv.reset(seed=1)
    seen = {name: torch.from_numpy(array) for name, array in obs.items()}
    keep = seen["action_mask"].clone()
    told = policy.distribution(seen).probs
    untold = script.Blindfold(policy).distribution(seen).probs
    assert (told[~keep] == 0).all() and (untold > 0).all()
    torch.testing.assert_close(seen["action_mask"], keep, rtol=0, atol=0)


def test_agents_of_known_result_are_judged_so(script) -> None:
    def most_worth(obs):
        worth = obs["candidates"][..., 2]
        return torch.where(obs["action_mask"], worth, -1.0).argmax(-1)

    returns, illegal = script.play(most_worth, "packing")
    # the figure of docs/packing.md, which comes from the planner's side
    assert returns.shape == (500,) and illegal == 0
    assert returns.mean() == pytest.approx(1.473, abs=5e-4)

    # with 40 slots there is always one without an item
    returns, illegal = script.play(
        lambda obs: obs["action_mask"].int().argmin(-1), "packing?slots=40"
    )
    assert illegal == 1 and not returns.any()

    wait = torch.tensor([4, 0, 0, 0]).expand(500, 4)
    returns, illegal = script.play(lambda obs: wait, "outpost")
    assert illegal == 0 and not returns.any()

    # no hall can be paid for at the start, and who stands still never earns anything
    hall = torch.tensor([3, 0, 0, 2]).expand(500, 4)
    returns, illegal = script.play(lambda obs: hall, "outpost")
    assert illegal == 1 and not returns.any()


def test_half_of_the_choices_illegal_is_counted_as_half(script, monkeypatch) -> None:
    monkeypatch.setattr(script, "LAYOUTS", 7)
    count = iter(range(99))

    def now_and_then(obs):
        return torch.tensor([4, 0, 0, 0] if next(count) % 2 else [3, 0, 0, 2]).expand(7, 4)

    assert script.play(now_and_then, "outpost")[1] == 0.5


def test_the_command_trains_tells_and_does_not_repeat(
    script, monkeypatch, tmp_path, capsys
) -> None:
    monkeypatch.setattr(script, "LAYOUTS", 20)
    out = tmp_path / "figures.json"
    command = ["packing", "--seeds", "1", "--steps", "1", "--jobs", "1"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(out)]
    script.main(command)
    first = capsys.readouterr()
    lines = first.out.splitlines()
    assert lines[0] == "packing: 20 test layouts, 4,096 steps of training"
    names = ["random valid", "unmasked, mean", "  seed 1", "masked, mean", "  seed 1", "optimum"]
    assert [line[:18].rstrip() for line in lines[2:]] == names
    assert "packing masked seed 1: 4,096 steps, validation return" in first.err
    told = json.loads(out.read_text())
    unmasked, masked = sorted(told["runs"], key=lambda run: run["regime"], reverse=True)
    assert masked["illegal"] == masked["illegal_sampled"] == 0 < unmasked["illegal_sampled"]
    known = told["references"]["packing"]
    assert known["random"] < masked["greedy"] < known["optimum"]
    assert f"{masked['greedy']:>8.3f}{masked['greedy'] / known['optimum']:>12.1%}" in lines[6]

    monkeypatch.setattr(script, "train", lambda run: pytest.fail("a finished run was repeated"))
    script.main(command)
    assert capsys.readouterr().out == first.out


def test_a_tree_is_trained_without_its_mask(script, tmp_path) -> None:
    run = script.Run("outpost", "unmasked", 1, 1, tmp_path)
    trainer = script.train(run)
    assert trainer.env.illegal_actions > 0.2 * trainer.steps
    assert all(mask.all() for mask in trainer.buffer.masks.values())
    figures = script.judge(script.Blindfold(trainer.policy), "outpost")
    assert figures["illegal_sampled"] > 0.2


def test_a_run_ends_with_the_command_that_began_it(script, monkeypatch, tmp_path) -> None:
    gone = SimpleNamespace(is_alive=lambda: False)
    monkeypatch.setattr(script.multiprocessing, "parent_process", lambda: gone)
    run = script.Run("packing", "masked", 1, 5000, tmp_path)
    with pytest.raises(SystemExit, match="seed 1: ended early, after 4,096 steps"):
        script.train_and_judge(run)
    assert not (run.folder / script.RESULT).exists()


def test_the_command_refuses_what_cannot_be_judged(script) -> None:
    with pytest.raises(SystemExit, match="Taxi-v4: nothing is known about its optimum"):
        script.main(["gymnasium:Taxi-v4"])
    with pytest.raises(SystemExit):
        script.main(["--jobs", "0"])


def test_the_introduction_gives_the_command() -> None:
    assert "python examples/small_worlds.py" in SCRIPT.read_text()
