"""The progress display: everything a waiting person wants to know, in terminal and log."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace

import pytest
from rich.console import Console

from maskrl.trainers.progress import ProgressDisplay, clock, sparkline

METRICS = {
    "return_mean": 0.25,
    "length_mean": 9.5,
    "entropy": 0.61,
    "entropy_normalized": 0.42,
    "allowed_share": 0.69,
    "illegal_actions": 0.0,
}


class Trainer(SimpleNamespace):
    @property
    def fraction(self):
        return self.steps / self.total_steps


def train(display, rounds=4):
    trainer = Trainer(steps=0, total_steps=4000)
    display.on_start(trainer)
    for i in range(rounds):
        trainer.steps += 1000
        display.on_rollout(trainer, {**METRICS, "return_mean": i / 4})
        if i == 1:
            display.on_evaluation(trainer, SimpleNamespace(score=0.5, mean=0.1))
            display.on_evaluation(trainer, SimpleNamespace(score=0.4, mean=0.1))
    return trainer


def display_on(terminal, **kwargs):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)
    return ProgressDisplay("panda, seed 0", console=console, place="runs/a", **kwargs)


def test_a_terminal_gets_a_panel_with_everything():
    display = display_on(True, planner=0.998, random=-0.85)
    trainer = train(display, rounds=3)
    text = Console(width=100, file=io.StringIO(), record=True)
    text.print(display.panel())
    shown = text.export_text()
    display.on_end(trainer)
    for expected in (
        "panda, seed 0",
        "runs/a",
        "75%",
        "3,000 of 4,000 steps",
        "steps/s",
        "left",
        "0.500 over the last episodes, 9.5 steps long",
        "0.400 (best 0.500); 0 = random valid -0.850, 1 = planner 0.998",
        "0.610 nats, 42% of what the mask leaves open",
        "69% of actions allowed, 0 illegal ones executed",
        "▁",
    ):
        assert expected in shown, expected
    assert "3,000 of 4,000 steps" in display.console.file.getvalue()


def test_a_log_gets_lines_and_the_last_state():
    display = display_on(False, planner=0.998, random=-0.85, line_seconds=1000)
    display.on_end(train(display))
    lines = display.console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("step 1,000 of 4,000  ")
    assert lines[1].startswith("step 4,000 of 4,000  ")
    assert "score 0.400 (planner 0.998 = 1)" in lines[1]
    assert lines[1].endswith("0:00 left")


def test_without_a_planner_the_evaluated_return_is_shown():
    display = display_on(False, line_seconds=0)
    trainer = Trainer(steps=0, total_steps=10)
    display.on_start(trainer)
    display.on_evaluation(trainer, SimpleNamespace(score=None, mean=7.9))
    trainer.steps = 5
    display.on_rollout(trainer, METRICS)
    assert "evaluated 7.900" in display.console.file.getvalue()


def test_before_the_first_episode_ends_nothing_is_invented():
    display = display_on(True)
    trainer = Trainer(steps=0, total_steps=10)
    display.on_start(trainer)
    assert math.isnan(display.seconds_left)
    display.on_rollout(trainer, {"return_mean": math.nan})
    text = Console(width=100, file=io.StringIO(), record=True)
    text.print(display.panel())
    assert "? over the last episodes" in text.export_text()
    display.on_end(trainer)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (754, "12:34"), (3723, "1:02:03"), (math.nan, "?")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_sparkline():
    assert sparkline([1.0]) == ""
    assert sparkline([0.0, 1.0]) == "▁█"
    assert sparkline([2.0, 2.0, 2.0]) == "▁▁▁"
    assert len(sparkline(list(range(1000)))) == 30


def test_of_a_team_it_says_who_is_there_and_how_far_ratios_are_clipped(monkeypatch):
    team = {
        "agents_acting": 5.25,
        "agents_alive": 6.0,
        "clip_fraction_joint": 0.5,
        "clip_fraction_agent": 0.125,
        "clip_fraction_head": 0.1,
    }
    monkeypatch.setitem(globals(), "METRICS", {**METRICS, **team})
    display = display_on(True, planner=11.0, random=2.0, reference_name="script")
    trainer = train(display, rounds=3)
    text = Console(width=100, file=io.StringIO(), record=True)
    text.print(display.panel())
    shown = text.export_text()
    display.on_end(trainer)
    assert "5.2 agents act, 6.0 are alive; ratios clipped: joint 50%, agent 12%, head 10%" in shown
    assert "0 = random valid 2.000, 1 = script 11.000" in shown
    display = display_on(False, planner=11.0, random=2.0, reference_name="script")
    display.on_end(train(display))
    line = display.console.file.getvalue().splitlines()[-1]
    assert "5.2 agents act" in line and "(script 11.000 = 1)" in line


MEMORY = {
    "return_mean": 0.25,
    "length_mean": 9.5,
    "allowed_share": 0.69,
    "illegal_actions": 0.0,
    "replay_size": 4000.0,
}


def shown_for(metrics, **config):
    display = display_on(True)
    trainer = Trainer(steps=0, total_steps=4000, config=SimpleNamespace(**config))
    display.on_start(trainer)
    trainer.steps = 1000
    display.on_rollout(trainer, metrics)
    text = Console(width=120, file=io.StringIO(), record=True)
    text.print(display.panel())
    display.on_end(trainer)
    log = display_on(False, line_seconds=0)
    log.on_start(trainer)
    log.on_rollout(trainer, metrics)
    return text.export_text(), log.console.file.getvalue()


def test_of_values_it_says_how_full_the_memory_is_and_how_wrong_they_are():
    metrics = {**MEMORY, "epsilon": 0.525, "q_mean": -3.25, "td_error": 1.5}
    panel, line = shown_for(metrics, replay_size=200_000)
    for expected in (
        "4,000 transitions of 200,000; values -3.25 on average, 1.500 off their targets",
        "0.525: of so many actions any allowed one is tried",
        "mean return of the best allowed actions",
    ):
        assert expected in panel, panel
    assert "entropy" not in panel and "entropy" not in line
    assert "epsilon 0.525  values -3.25  error 1.500" in line


def test_before_learning_begins_it_says_so():
    panel, line = shown_for({**MEMORY, "epsilon": 1.0})
    assert "4,000 transitions; learning has not begun" in panel
    assert "error" not in line


def test_of_soft_actor_critic_it_says_how_random_it_is_and_is_to_be():
    metrics = {
        **MEMORY,
        "entropy": 0.5,
        "entropy_share": 0.42,
        "entropy_share_target": 0.3,
        "temperature": 0.125,
        "q_mean": 2.0,
        "td_error": 0.25,
    }
    panel, line = shown_for(metrics, replay_size=10)
    assert "0.500 nats, 42% of what the mask leaves open (aim 30%)" in panel
    assert "0.125 of return is worth a nat of entropy" in panel
    assert "entropy 0.500  alpha 0.125  values 2.00  error 0.250" in line
    assert "likeliest allowed actions" in panel
