"""`maskrl watch`: every moment is shown, with or without a terminal, and Ctrl-C is no error."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from rich.console import Console

from maskrl import policies
from maskrl.cli import watch as verb
from maskrl.envs.registry import make
from maskrl.errors import ConfigError, RunFolderError
from maskrl.policies.episode import EpisodeRecord, EpisodeStep
from maskrl.policies.head_view import HeadLabels
from maskrl.runs import RunDir

ATTENTION = np.zeros((2, 3, 3), np.float32)
ATTENTION[:, 0] = [[0.2, 0.8, 0.0], [0.4, 0.6, 0.0]]
STEP = EpisodeStep(
    frame=None,
    text="| P   W |",
    observation={},
    action=1,
    action_mask=np.array([False, True]),
    logits=np.array([3.0, 0.0], np.float32),
    probs=np.array([0.0, 1.0], np.float32),
    value=0.25,
    reward=0.5,
    entity_names=("panda", "watermelon", "dragon"),
    entity_mask=np.array([True, True, True]),
    visibility=np.array([[True, True, False], [True, True, True], [True, True, True]]),
    attention=(np.ones((2, 3, 3)), ATTENTION),
)
RECORD = EpisodeRecord(
    env="panda",
    env_kwargs={},
    seed=4,
    steps=(STEP, replace(STEP, text="|   P W |")),
    final_frame=None,
    final_text="|     P |",
    terminated=True,
    truncated=False,
    action_names=("left", "right"),
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder, and policies that play the record above; gives folder and calls."""
    folder = RunDir.create(tmp_path / "run")
    folder.write_config({"env": "panda", "env_kwargs": {"sight": "full"}})
    calls = []

    def play(policy, env, env_kwargs, **options):
        calls.append((policy, env, env_kwargs, options))
        return replace(RECORD, seed=options["seed"])

    monkeypatch.setattr(policies, "load_policy", lambda run, which: which, raising=False)
    monkeypatch.setattr(policies, "record_episode", play, raising=False)
    return folder.path, calls


def test_attention_is_the_observers_row_of_the_last_layer():
    attention, visible = verb.observer_attention(STEP)
    np.testing.assert_allclose(attention, [0.3, 0.7, 0.0], rtol=1e-6)
    assert visible.tolist() == [True, True, False]
    one_row = replace(STEP, attention=(ATTENTION[:, :1],), visibility=None)
    np.testing.assert_allclose(verb.observer_attention(one_row)[0], [0.3, 0.7, 0.0], rtol=1e-6)
    assert verb.observer_attention(one_row)[1].tolist() == [True, True, True]
    assert verb.observer_attention(replace(STEP, attention=())) == (None, None)


def test_views_go_from_the_first_decision_to_the_end():
    views = list(verb.step_views(RECORD, "episode 1 of 1"))
    assert [view.world for view in views] == ["| P   W |", "|   P W |", "|     P |"]
    assert [view.gained for view in views] == [0.0, 0.5, 1.0]
    assert [view.action for view in views] == [1, 1, None]
    assert views[0].title == "panda, episode 1 of 1, step 1 of 2"
    assert views[2].title.endswith("the end")


def test_heads_are_shown_one_by_one():
    heads = (HeadLabels("type", ("wait", "go")), HeadLabels("where", ("here", "there")))
    step = replace(
        STEP,
        action=np.array([0, 1]),
        action_mask=np.array([True, True, False, True]),
        logits=np.zeros(4),
        probs=np.array([0.5, 0.5, 0.0, 1.0]),
        relevant=np.array([True, False]),
    )
    record = replace(RECORD, steps=(step,), action_kind="tree", heads=heads)
    first, last = verb.step_views(record, "e")
    assert [head.name for head in first.heads] == ["type", "where"]
    assert not first.binary and not first.is_end and last.is_end
    assert next(verb.step_views(replace(record, action_kind="multi_binary"), "e")).binary


def test_padding_of_candidates_is_not_shown():
    step = replace(
        STEP,
        action=3,
        action_mask=np.array([False, True, False, True]),
        logits=np.zeros(4),
        probs=np.array([0.0, 0.25, 0.0, 0.75]),
    )
    names = tuple(f"candidate {k}" for k in range(4))
    record = replace(
        RECORD,
        steps=(step,),
        action_kind="candidates",
        action_names=names,
        heads=(HeadLabels("", names),),
    )
    view = next(verb.step_views(record, "e"))
    assert view.action_names == ("candidate 1", "candidate 3")
    assert (view.action, view.probabilities.tolist()) == (1, [0.25, 0.75])
    idle = replace(step, action=0, action_mask=np.zeros(4, bool))
    assert next(verb.step_views(replace(record, steps=(idle,)), "e")).action == 0


def test_pictures_stand_in_for_text():
    frame = np.zeros((4, 4, 3), np.uint8)
    record = replace(
        RECORD, steps=(replace(STEP, text=None, frame=frame),), final_text=None, terminated=False
    )
    first, last = verb.step_views(record, "e")
    assert first.world is frame
    assert last.world == verb.NO_PICTURE and last.title.endswith("cut off")


def test_without_a_terminal_frames_follow_each_other(run, capsys):
    path, calls = run
    verb.watch(path, episodes=2, seed=7, sampled=True, which="last")
    text = capsys.readouterr().out
    assert "\x1b" not in text
    order = [text.index(part) for part in ("| P   W |", "|   P W |", "|     P |")]
    assert order == sorted(order)
    assert "episode 2 of 2 of panda, seed 8: return +1.00, ended after 2 steps" in text
    assert [call[:3] for call in calls] == [("last", "panda", {"sight": "full"})] * 2
    assert calls[0][3] == {"seed": 7, "deterministic": False, "pictures": "ansi"}


def test_on_a_terminal_frames_replace_each_other(monkeypatch):
    waits = []
    monkeypatch.setattr(verb.time, "sleep", waits.append)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=30)
    verb.play(RECORD, console, name="episode 1 of 1", speed=4.0)
    assert waits == [0.25, 0.25, 0.75]
    assert "\x1b[1A" in out.getvalue()  # the cursor goes up to draw over the last frame
    assert "\x1b[?25h" in out.getvalue()  # and shows again in the end


def test_an_interrupt_ends_cleanly(run, capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "play", interrupted)
    verb.watch(run[0])
    assert capsys.readouterr().out == "stopped\n"


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("panda-trees", ["use item", "masked", "scorpion", "unseen", "attention"]),
        ("gymnasium:Taxi-v4", ["|R: | : :G|", "masked", "probability"]),
    ],
)
def test_a_policy_that_plays(env_id, words, tmp_path, monkeypatch, capsys):
    env = make(env_id)
    policy = policies.ActorCritic.from_spaces(env.observation_space, env.action_space)
    folder = RunDir.create(tmp_path / "run")
    folder.write_config({"env": env_id, "env_kwargs": {}})
    short = partial(policies.record_episode, max_steps=2)
    monkeypatch.setattr(policies, "load_policy", lambda run, which: policy, raising=False)
    monkeypatch.setattr(policies, "record_episode", short, raising=False)
    monkeypatch.setenv("COLUMNS", "110")
    assert verb.watch(folder.path, sampled=True) == 0
    text = capsys.readouterr().out
    assert [word for word in words if word not in text] == []
    assert text.count("step 1 of") == 1 and "return" in text.split("\n")[-2]


def test_layouts_of_the_training_are_not_watched(run, capsys):
    path, calls = run
    folder = RunDir.open(path)
    known = {"sight": "full", "layout_seeds": [3, 4]}
    folder.write_config({**folder.read_config(), "env_kwargs": known})
    verb.watch(path)
    assert calls[0][2] == {"sight": "full"}


def test_a_run_on_an_object_says_what_to_do(run):
    folder = RunDir.open(run[0])
    folder.write_config({**folder.read_config(), "env": None, "env_name": "Mine"})
    with pytest.raises(ConfigError, match=r"trained on Mine, an environment given as an object"):
        verb.watch(run[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "--episodes must be at least 1, got 0"),
        ({"speed": 0.0}, "--speed must be positive, got 0.0"),
        ({"speed": float("nan")}, "--speed must be positive"),
    ],
)
def test_wrong_settings(run, options, message):
    with pytest.raises(ConfigError, match=message):
        verb.watch(run[0], **options)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunFolderError):
        verb.watch(tmp_path / "nothing")
