"""The experiments with teams, in their smallest size.

Verdicts follow from intervals that are known, the picture has every seed where it belongs, and
the command trains, tells, writes, goes on with what was interrupted and does not repeat.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from maskrl.envs import make_vec
from maskrl.envs.registry import find_entry
from maskrl.errors import RunFolderError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SCRIPT = EXAMPLES / "team_learning.py"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        module = importlib.import_module("team_learning")
        yield module
    for name in ("team_learning", "team_tables"):
        del sys.modules[name]


@pytest.fixture(scope="module")
def tables(script):
    return sys.modules["team_tables"]


def test_whoever_sees_all_lives_in_the_same_world(script) -> None:
    """Fog is in what is told alone: the same actions lead to the same rewards."""
    arms = [script.BY_NAME[name] for name in ("fog", "open")]
    fog, full = (make_vec(arm.world, 8, seed=3, **arm.settings) for arm in arms)
    pairs = [(fog.reset(seed=5), full.reset(seed=5))]
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(0, fog.single_action_space.nvec, (8, 8))
        pairs.append((fog.step(actions), full.step(actions)))
    hidden = 0
    for ours, theirs in pairs:
        hidden += int((theirs[0]["visibility"] & ~ours[0]["visibility"]).sum())
        for key in ours[0].keys() - {"visibility"}:
            np.testing.assert_array_equal(theirs[0][key], ours[0][key])
        for mine, other in zip(ours[1:-1], theirs[1:-1], strict=True):
            np.testing.assert_array_equal(mine, other)
        there, alive = theirs[0]["entity_mask"], theirs[0]["alive"]
        sees = theirs[0]["visibility"][:, : alive.shape[1]]
        np.testing.assert_array_equal(sees, alive[:, :, None] & there[:, None])
    assert hidden


def test_arms_differ_in_what_they_are_about_alone(script) -> None:
    arms = script.BY_NAME
    assert arms["open"].config == arms["fog"].config
    assert arms["open"].steps == arms["fog"].steps
    masks = [arms[name] for name in script.MASKS]
    assert [arm.settings.get("remove_masks") for arm in masks] == [
        None,
        "action_mask",
        "agent_mask",
        "action_mask,agent_mask",
    ]
    for arm in masks:
        assert arm.config == masks[0].config
        assert (arm.steps, arm.world) == (masks[0].steps, masks[0].world)
        assert arm.settings.keys() <= {"remove_masks"}
    for agents in script.SIZES:
        joint, own = arms[f"joint-{agents}"], arms[f"agent-{agents}"]
        assert joint.settings == own.settings
        assert {**joint.config, "ratio": "agent"} == own.config
        assert (joint.steps, joint.world) == (own.steps, own.world)
    for arm in script.ARMS:
        own = find_entry(arm.world).presets["ppo"]
        changed = {"total_steps", "evaluate_every", *arm.ppo}
        for name in own.keys() - changed:
            assert arm.config[name] == own[name]
        assert arm.config["threads"] == 1


def test_all_runs_fit_into_two_hours(script) -> None:
    runs = [(arm.minutes, arm.seeds) for arm in script.ARMS]
    assert sum(minutes * seeds for minutes, seeds in runs) / script.JOBS <= 110
    assert all(arm.minutes <= 10 for arm in script.ARMS)
    for question in script.QUESTIONS[2:]:  # ablations
        assert all(script.BY_NAME[name].minutes <= 3 for name in question.arms)
    assert all(script.BY_NAME[name].seeds == 4 for name in ("fog", "open", "grid", *script.MASKS))
    told = script.plan(script.ARMS, None, 2, 1.0)
    total = sum(minutes * seeds for minutes, seeds in runs)
    assert f"{sum(seeds for _, seeds in runs)} runs of at most" in told
    assert f"2 at a time: at most {total / 2:.0f} minutes" in told
    slow = script.contender(script.BY_NAME["fog"], 2.0, 100)
    assert slow.total_steps == 100 and slow.max_minutes == 2 * script.BY_NAME["fog"].minutes


def results_of(name, values, measure="score"):
    figures = {
        "seeds": values,
        "mean": float(np.mean(values)),
        "interval": (min(values), max(values)),
    }
    return {"arm": name, "meaning": f"{name} <&>", "seeds": list(range(1, len(values) + 1))} | {
        measure: figures
    }


@pytest.mark.parametrize(
    ("first", "second", "separate", "words"),
    [
        ([0.9, 0.95], [0.5, 0.6], True, "score: x is above y (0.900 to 0.950 and 0.500"),
        ([0.5, 0.6], [0.9, 0.95], True, "score: x is below y"),
        ([0.5, 0.9], [0.6, 0.95], False, "x and y are not told apart"),
        ([0.5, 0.6], [0.6, 0.7], False, "not told apart"),
        ([0.5], [0.9], False, "one seed cannot tell x and y apart"),
    ],
)
def test_verdicts_follow_from_the_intervals(tables, first, second, separate, words) -> None:
    said = tables.verdict(results_of("x", first), results_of("y", second), "score")
    assert said["separate"] is separate
    assert words in said["words"]
    assert said["difference"] == pytest.approx(np.mean(first) - np.mean(second))


def test_the_picture_has_every_seed_where_it_belongs(script, tables) -> None:
    question = script.QUESTIONS[1]
    results = {name: results_of(name, [0.7, 0.8, 0.9, 1.0]) for name in question.arms}
    root = ET.fromstring(tables.picture([question], results))
    dots = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(dots) == 12
    places = [float(dot.get("cx")) for dot in dots[:4]]
    np.testing.assert_allclose(np.diff(places), np.diff(places)[0], atol=0.2)
    assert [dot[0].text for dot in dots[:2]] == ["seed 1: 0.700", "seed 2: 0.800"]
    assert "fog <&>" in "".join(root.itertext())


def test_an_arm_that_the_clock_annealed_is_named(script, tables) -> None:
    """A slow arm fades its learning rate by time, so equal steps are no equal training."""
    job = script.Job("x", {}, 1, {"learning_rate": 0.01}, 400, None, 1, Path("x"))
    steps = np.array([100.0, 200.0, 300.0, 400.0])
    by_steps = {"step": steps, "learning_rate": 0.01 * (1 - np.array([0, 0.25, 0.5, 0.75]))}
    assert script.ahead_of_steps(by_steps, job) == pytest.approx(0, abs=1e-12)
    by_clock = {"step": steps, "learning_rate": 0.01 * (1 - np.array([0.01, 0.35, 0.7, 0.75]))}
    assert script.ahead_of_steps(by_clock, job) == pytest.approx(0.2)

    question = tables.Question("a", "one", ("x",), (), ("score",), ())
    arm = results_of("x", [0.5, 0.6]) | {
        "episodes": 4,
        "random": 0.0,
        "script": 1.0,
        "illegal_actions": [0, 0],
        "parameters": 1,
        "steps": [400, 400],
        "asked_steps": 400,
        "minutes": [1.0, 1.0],
    }
    said = "- x: the clock annealed its learning rate, up to 20% of the run ahead of the steps"
    assert said in tables.table(question, {"x": arm | {"ahead": [0.0, 0.2]}})
    assert "clock" not in tables.table(question, {"x": arm | {"ahead": [0.0, 0.04]}})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.71, 0.98], [0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]),
        ([-3.0, 12.0], [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]),
        ([0.5, 0.5], [0.5, 0.5000001]),
        ([0.917, 0.932], [0.916 + 0.002 * k for k in range(10)]),
    ],
)
def test_the_scale_holds_all_values_in_round_steps(tables, values, expected) -> None:
    marks = tables.ticks(values)
    assert marks == pytest.approx(expected, abs=1e-9)
    assert marks[0] <= min(values) and marks[-1] > max(values) and len(set(marks)) == len(marks)


SMALL = {"num_envs": 4, "rollout_steps": 8, "minibatch_size": 32, "epochs": 1}


@pytest.fixture
def small(script, monkeypatch):
    """The same arms in seconds."""
    monkeypatch.setattr(script, "LAYOUTS", 4)
    monkeypatch.setattr(script, "LISTENED", (8, 12))
    config = script.Arm.config.fget
    more = SMALL | {"evaluation_episodes": 2}
    monkeypatch.setattr(script.Arm, "config", property(lambda arm: {**config(arm), **more}))
    return script


def command_in(folder, *first):
    out, drawn = folder / "figures.json", folder / "figure.svg"
    files = ["--runs", str(folder / "runs"), "--out", str(out), "--picture", str(drawn)]
    return [*first, "--seeds", "1", "--steps", "32", "--jobs", "1", *files]


def test_the_command_trains_tells_and_does_not_repeat(small, monkeypatch, tmp_path, capsys):
    command = command_in(tmp_path, "b", "c")
    small.main(command)
    first = capsys.readouterr()
    assert "(b) fog, no fog, the whole grid: 4 test episodes" in first.out
    told = json.loads((tmp_path / "figures.json").read_text())
    arms = {figures["arm"]: figures for figures in told["arms"]}
    assert list(arms) == ["fog", "open", "grid", *small.MASKS]
    rows = [line for line in first.out.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if "seed by seed" not in row]
    for line, figures in zip(rows, told["arms"], strict=True):
        assert line.startswith(f"| {figures['meaning']} |")
        assert figures["steps"] == [32] and f"{figures['parameters']:,}" in line
        (path,) = (tmp_path / "runs").glob(f"{figures['arm']}/*/evaluation.json")
        test = json.loads(path.read_text())
        assert figures["random"] == test["random_mean"]
        of = "return" if figures["arm"] in small.MASKS else "score"
        value = test["mean" if of == "return" else "score"]
        assert figures[of] == {"seeds": [value], "mean": value, "interval": [value, value]}
        assert f"| {value:.3f} | {value:.3f} ({value:.3f} to {value:.3f}) |" in line
    for name in ("fog", "open", "grid", "both-masks", "no-agent-mask"):
        assert arms[name]["illegal_actions"] == [0]
    assert arms["no-action-mask"]["illegal_actions"][0] > 0
    entropies = {name: arms[name]["entropy_acting"]["mean"] for name in small.MASKS}
    assert all(entropy > 0 for entropy in entropies.values())
    # Hardly trained: uniform over what is allowed, or over everything.
    assert entropies["no-masks"] > entropies["both-masks"] + 0.05
    assert all(verdict["words"] in first.out for verdict in told["verdicts"])
    assert ET.parse(tmp_path / "figure.svg").getroot().tag.endswith("svg")
    assert "fog seed-1: finished" in first.err
    assert "7 runs of at most" in first.err

    monkeypatch.setattr(small, "train_and_test", lambda *_: pytest.fail("a run was repeated"))
    small.main(command)
    assert capsys.readouterr().out == first.out
    with pytest.raises(RunFolderError, match="other settings for fog: total_steps was 32") as told:
        small.main([*command[:5], "64", *command[6:]])
    assert "choose another --runs" in str(told.value) and "--out" not in str(told.value)


def test_ratios_are_what_the_arms_say(small, tmp_path, capsys, monkeypatch) -> None:
    arms = tuple(arm for arm in small.ARMS if arm.name.endswith("-4"))
    question = small.QUESTIONS[3]
    names = tuple(arm.name for arm in arms)
    few = small.Question(
        "d", question.title, names, (names[::-1],), question.measures, question.judged
    )
    monkeypatch.setattr(small, "QUESTIONS", (few,))
    small.main(command_in(tmp_path, "d"))
    told = json.loads((tmp_path / "figures.json").read_text())
    assert [figures["arm"] for figures in told["arms"]] == ["joint-4", "agent-4"]
    for figures in told["arms"]:
        assert figures["settings"]["pandas"] == 4
        for measure in small.CLIPPED:
            assert 0 <= figures[measure]["mean"] <= 1
    for arm in arms:
        (path,) = (tmp_path / "runs").glob(f"{arm.name}/*/config.json")
        assert json.loads(path.read_text())["ppo"]["ratio"] == arm.name.split("-")[0]


def test_what_was_interrupted_goes_on(small, tmp_path, capsys, monkeypatch) -> None:
    """A run that ended in its middle is taken up there, not begun anew."""
    from maskrl.trainers.ppo import PPO

    learn, began = PPO.learn, []

    def short(self, total_steps, **kwargs):
        began.append(self.steps)
        if len(began) == 1:
            learn(self, 64, **{**kwargs, "evaluator": None})
            raise KeyboardInterrupt
        return learn(self, total_steps, **kwargs)

    monkeypatch.setattr(PPO, "learn", short)
    command = command_in(tmp_path, "a")
    command[command.index("--steps") + 1] = "128"
    with pytest.raises(KeyboardInterrupt):
        small.main(command)
    assert not capsys.readouterr().out
    small.main(command)
    assert began == [0, 64]
    told = json.loads((tmp_path / "figures.json").read_text())
    assert told["arms"][0]["steps"] == [128]


def test_a_run_that_ends_with_its_terminal_is_named(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(small, "train_and_test", lambda *_: None)
    with pytest.raises(SystemExit, match="not finished: fog seed-1; the same command goes on"):
        small.main(command_in(tmp_path, "a"))
    assert not capsys.readouterr().out


@pytest.mark.slow
def test_several_processes_make_the_same_runs(tmp_path) -> None:
    """As a user calls it: a fresh process, two runs at a time, each in one of its own."""
    command = [sys.executable, str(SCRIPT), "b", "--seeds", "1", "--steps", "1"]
    done = subprocess.run(
        [*command, "--runs", "runs", "--out", "figures.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "one seed cannot tell open and fog apart" in done.stdout
    assert len(json.loads((tmp_path / "figures.json").read_text())["arms"]) == 3


def test_the_plan_is_told_and_nothing_begun(script, tmp_path, capsys) -> None:
    script.main(["a", "--plan", "--runs", str(tmp_path / "runs")])
    assert "4 runs of at most" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_unknown_questions_are_named(script, capsys) -> None:
    with pytest.raises(SystemExit):
        script.main(["e"])
    assert "no such question: e; there are a, b, c and d" in capsys.readouterr().err


def test_the_page_gives_the_commands(script) -> None:
    page = (ROOT / "docs" / "experiments" / "teams.md").read_text()
    for question in script.QUESTIONS:
        assert f"python examples/team_learning.py {question.key} " in page
    assert "python examples/team_learning.py" in SCRIPT.read_text()
