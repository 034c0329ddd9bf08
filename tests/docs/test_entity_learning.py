"""The comparison of hidden entities, critics and memories, in its smallest size.

What the other readings of the panda's observation hold is computed anew, verdicts follow from
intervals that are known, and the command trains, tells, writes and does not repeat.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from maskrl.envs import make, make_vec
from maskrl.envs.registry import _entries, find_entry
from maskrl.errors import RunFolderError
from maskrl.trainers.evaluate import evaluate
from maskrl.trainers.ppo import PPO, PPOConfig

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "entity_learning.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("entity_learning", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    for name in module.READINGS:
        del _entries[name]
    del sys.modules[spec.name]


@pytest.mark.parametrize("name", ["panda-zeroed", "panda-flat"])
def test_readings_hide_what_is_hidden_and_change_nothing_else(script, name) -> None:
    plain, read = make_vec("panda", 64, seed=3), make_vec(name, 64, seed=3)
    rng = np.random.default_rng(0)
    pairs = [(plain.reset(seed=5), read.reset(seed=5))]
    for _ in range(25):
        actions = rng.integers(0, 6, 64)
        pairs.append((plain.step(actions), read.step(actions)))
    hidden = finals = 0
    for ours, theirs in pairs:
        both = [(ours[0], theirs[0])]
        if "final_obs" in ours[-1]:
            ended = np.flatnonzero(ours[2] | ours[3])  # the other rows mean nothing
            lasts = (ours[-1]["final_obs"], theirs[-1]["final_obs"])
            both.append(tuple({key: x[ended] for key, x in last.items()} for last in lasts))
            finals += ended.size
        for scene, got in both:
            expected = np.zeros_like(scene["entities"])
            for i, j in np.ndindex(scene["entity_mask"].shape):
                there = scene["entity_mask"][i, j]
                if there and (j == 0 or scene["visibility"][i, 0, j]):
                    expected[i, j] = scene["entities"][i, j]
                hidden += there and (scene["entities"][i, j] != expected[i, j]).any()
            assert "visibility" not in got
            np.testing.assert_array_equal(got["action_mask"], scene["action_mask"])
            if name == "panda-flat":
                numbers = [expected.reshape(len(expected), -1), scene["entity_mask"]]
                np.testing.assert_array_equal(got["observation"], np.concatenate(numbers, -1))
                assert got.keys() == {"observation", "action_mask"}
            else:
                np.testing.assert_array_equal(got["entities"], expected)
                np.testing.assert_array_equal(got["entity_mask"], scene["entity_mask"])
        if len(ours) == 5:
            for k in (1, 2, 3):
                np.testing.assert_array_equal(theirs[k], ours[k])
        np.testing.assert_array_equal(theirs[-1]["layout_id"], ours[-1]["layout_id"])
    assert hidden and finals
    assert read.illegal_actions == plain.illegal_actions > 0
    assert read.observation_space.contains(pairs[-1][1][0])
    single = make(name)
    assert single.observation_space == read.single_observation_space
    assert single.observation_space.contains(single.reset(seed=0)[0])


def test_readings_are_judged_beside_the_same_planner(script) -> None:
    trainer = PPO(
        "panda-zeroed", PPOConfig(num_envs=4, rollout_steps=8, minibatch_size=32, threads=1)
    )
    result = evaluate(trainer.policy, "panda-zeroed", episodes=5)
    plain = evaluate(PPO("panda", trainer.config).policy, "panda", episodes=5)
    assert result.planner is not None
    np.testing.assert_array_equal(result.planner, plain.planner)
    np.testing.assert_array_equal(result.layout_ids, plain.layout_ids)


def test_arms_differ_in_what_they_are_about_alone(script) -> None:
    networks = {arm.name: arm.config["network"] for arm in script.ARMS if arm.world != "panda-flat"}
    assert networks["attention"] == networks["zeros"]
    masked, omniscient = networks["own-masked"], networks["own-everything"]
    assert omniscient == {**masked, "critic_sees": "everything"}
    assert networks["twice-everything"] == {**networks["attention"], "critic_sees": "everything"}
    assert networks["attention"]["shared"] and not masked["shared"]
    assert networks["no-memory"] == {**networks["memory"], "memory": "none"}
    for arm in script.ARMS:
        own = find_entry(arm.world).presets["ppo"]
        for name in own.keys() - {"network", "total_steps", "evaluate_every"}:
            assert arm.config[name] == own[name]
        assert arm.config["threads"] == 1


def test_all_runs_fit_into_the_time(script) -> None:
    limits = [script.contender(arm, 75, None).max_minutes for arm in script.ARMS]
    assert sum(limits) * script.SEEDS / script.JOBS == pytest.approx(0.85 * 75)
    slow = script.contender(script.BY_NAME["memory"], 75, 100)
    assert slow.total_steps == 100 and slow.max_minutes == max(limits)


def arm(name, scores, **more):
    low, high = min(scores), max(scores)
    figures = {"interquartile_mean": float(np.mean(scores)), "interval": (low, high)}
    return {"arm": name, "scores": scores, "seeds": list(range(1, len(scores) + 1)), **figures}


@pytest.mark.parametrize(
    ("first", "second", "separate", "words"),
    [
        ([0.9, 0.95], [0.5, 0.6], True, "x is better than y: the intervals separate"),
        ([0.5, 0.6], [0.9, 0.95], True, "y is better than x: the intervals separate"),
        ([0.5, 0.9], [0.6, 0.95], False, "x and y are not told apart: the intervals overlap"),
        ([0.5, 0.6], [0.6, 0.7], False, "not told apart"),
        ([0.5], [0.9], False, "one seed cannot tell x and y apart"),
    ],
)
def test_verdicts_follow_from_the_intervals(script, first, second, separate, words) -> None:
    said = script.verdict(arm("x", first), arm("y", second))
    assert said["separate"] is separate
    assert words in said["words"]
    assert said["difference"] == pytest.approx(np.mean(first) - np.mean(second))
    assert f"{min(first):.3f} to {max(first):.3f} and {min(second):.3f}" in said["words"]


def test_the_picture_has_every_seed_where_it_belongs(script) -> None:
    results = {
        name: {**arm(name, [0.7, 0.8, 0.9, 1.0]), "meaning": f"{name} <&>"}
        for name in ("memory", "no-memory")
    }
    root = ET.fromstring(script.picture([script.QUESTIONS[2]], results))
    dots = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(dots) == 8
    places = [float(dot.get("cx")) for dot in dots[:4]]
    np.testing.assert_allclose(np.diff(places), np.diff(places)[0], atol=0.2)  # 0.7 ... 1.0
    assert [dot[0].text for dot in dots[:2]] == ["seed 1: 0.700", "seed 2: 0.800"]
    assert "memory <&>" in "".join(root.itertext())


def test_the_command_trains_tells_and_does_not_repeat(script, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script, "LAYOUTS", 4)
    out, drawn = tmp_path / "figures.json", tmp_path / "figure.svg"
    command = ["a", "--seeds", "1", "--steps", "1", "--jobs", "1"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(out), "--picture", str(drawn)]
    small = {"num_envs": 8, "rollout_steps": 8, "minibatch_size": 64, "evaluation_episodes": 2}
    config = script.Arm.config.fget
    monkeypatch.setattr(script.Arm, "config", property(lambda arm: {**config(arm), **small}))
    script.main(command)
    first = capsys.readouterr()
    assert "(a) hidden entities: score, 4 test layouts" in first.out
    rows = [line for line in first.out.splitlines() if line.startswith("| ")]
    told = json.loads(out.read_text())
    assert [a["arm"] for a in told["arms"]] == ["attention", "zeros", "flat"]
    for line, figures in zip(rows[1:], told["arms"], strict=True):
        assert f"| {figures['scores'][0]:.3f} |" in line
        assert figures["steps"] == [64] and figures["illegal_actions"] == 0
        assert f"{figures['parameters']:,}" in line
        tests = list((tmp_path / "runs").glob(f"{figures['arm']}/*/evaluation.json"))
        (test,) = [json.loads(path.read_text()) for path in tests]
        assert figures["sampled_scores"] == [test["sampled"]["score"]]
        assert f"| {test['sampled']['score']:.3f} |" in line
    assert len(told["verdicts"]) == 9
    assert all(verdict["words"] in first.out for verdict in told["verdicts"])
    assert ET.parse(drawn).getroot().tag.endswith("svg")
    assert "attention seed-1: finished" in first.err

    monkeypatch.setattr(script, "train_and_test", lambda *_: pytest.fail("a run was repeated"))
    script.main(command)
    assert capsys.readouterr().out == first.out

    with pytest.raises(RunFolderError, match="other settings for attention: total_steps was 1"):
        script.main([*command[:4], "2", *command[5:]])


@pytest.mark.slow
def test_several_processes_make_the_same_runs(script, tmp_path) -> None:
    """As a user calls it: a fresh process, two runs at a time, each in one of its own."""
    import subprocess

    command = [sys.executable, str(SCRIPT), "a", "--seeds", "1", "--steps", "1"]
    done = subprocess.run(
        [*command, "--runs", "runs", "--out", "figures.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "one seed cannot tell attention and zeros apart" in done.stdout
    assert len(json.loads((tmp_path / "figures.json").read_text())["arms"]) == 3


def test_unknown_questions_are_named(script, capsys) -> None:
    with pytest.raises(SystemExit):
        script.main(["d"])
    assert "no such question: d; there are a, b and c" in capsys.readouterr().err


def test_the_page_gives_the_command_and_the_steps(script) -> None:
    page = (ROOT / "docs" / "experiments" / "entities.md").read_text()
    assert "python examples/entity_learning.py" in page
    for arm in script.ARMS:
        assert f"`{arm.world.replace('-zeroed', '').replace('-flat', '')}`, {arm.steps:,}" in page
    assert "python examples/entity_learning.py" in SCRIPT.read_text()
