"""What is shown of a step: mask, likelihood, expectation, attention, at any width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from maskrl.cli.step_view import StepView, bar, half_blocks, render_step
from maskrl.policies.head_view import OFF_ON, HeadLabels, split_heads

VIEW = StepView(
    world="+---+\n| \x1b[1mP\x1b[0m |\n+---+",
    title="panda, step 1 of 9",
    action_names=("up", "use_item", "wait"),
    action_mask=np.array([True, False, True]),
    probabilities=np.array([0.25, 0.0, 0.75]),
    action=2,
    value=0.5,
    gained=-1.0,
    entity_names=("panda", "scorpion", None),
    attention=np.array([1.0, 0.0, 0.0]),
    visible=np.array([True, False, False]),
)


def shown(view, width=100, height=40):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render_step(view, width, height))
    return capture.get()


def line_with(text, word):
    return next(line for line in text.split("\n") if word in line)


def test_everything_is_there():
    text = shown(VIEW)
    assert "panda, step 1 of 9" in text
    assert "| P |" in text and "\x1b" not in text
    assert "return so far -1.00" in text and "expects +0.50 from here" in text
    assert "25.0%" in line_with(text, " up ")
    masked = line_with(text, "use item")
    assert "masked" in masked and "%" not in masked
    assert ">" in line_with(text, "wait") and "75.0%" in line_with(text, "wait")
    hidden = line_with(text, "scorpion")
    assert "unseen" in hidden and "%" not in hidden
    assert "None" not in text


def test_wide_terminals_get_two_columns_and_narrow_ones_one():
    wide, narrow = shown(VIEW, 100), shown(VIEW, 60)
    assert "probability" in wide.split("\n")[1]
    assert [line for line in narrow.split("\n") if "| P |" in line][0].strip() == "| P |"
    for width in (60, 80, 100):
        assert all(len(line) <= width for line in shown(VIEW, width).split("\n"))


def test_low_terminals_get_fewer_entities():
    crowd = replace(
        VIEW,
        entity_names=tuple(f"tree {i}" for i in range(30)),
        attention=np.full(30, 1 / 30),
        visible=None,
    )
    assert shown(crowd, height=14).count("tree") == 5
    assert shown(crowd, height=8).count("tree") == 0
    assert shown(crowd, height=100).count("tree") == 12
    assert shown(crowd, height=14).rstrip("\n").count("\n") <= 13


def test_of_many_actions_the_likeliest_allowed_are_shown():
    probabilities = np.zeros(50)
    probabilities[[7, 31]] = 0.6, 0.4
    mask = np.zeros(50, bool)
    mask[[7, 31]] = True
    text = shown(
        replace(VIEW, action_names=(), action_mask=mask, probabilities=probabilities, action=49)
    )
    assert "60.0%" in line_with(text, " 7 ") and "40.0%" in line_with(text, " 31 ")
    assert ">" in line_with(text, " 49 ")  # the action taken always shows
    assert "38 more" in text and "38 masked" in text


LABELS = (
    HeadLabels("type", ("wait", "throw_at")),
    HeadLabels("direction", ("north", "south")),
    HeadLabels("target", tuple(str(k) for k in range(20))),
)


def view_of_heads(action, relevant):
    mask = np.ones(24, bool)
    mask[[0, 5]] = False
    probs = np.concatenate([[0.0, 1.0], [0.4, 0.6], [0.5, 0.0, *[0.5 / 18] * 18]])
    heads = split_heads(LABELS, np.array(action), mask, np.zeros(24), probs, np.array(relevant))
    return StepView(world="| P |", title="three heads", heads=heads, value=0.5)


def test_each_head_has_a_group_of_its_own():
    text = shown(view_of_heads([1, 0, 7], [True, False, True]))
    lines = text.split("\n")
    places = [text.index(word) for word in ("type", "throw at", "direction", "target", " 7 ")]
    assert places == sorted(places)
    assert "masked" in line_with(text, "wait") and "%" not in line_with(text, "wait")
    assert ">" in line_with(text, "throw at") and "100.0%" in line_with(text, "throw at")
    assert "not relevant" in line_with(text, "direction")
    assert "north" not in text and "south" not in text
    assert ">" in line_with(text, "   7 ")  # the choice taken always shows
    assert "8 more" in text and "1 masked" in line_with(text, "8 more")
    assert sum(">" in line for line in lines) == 2
    assert all(
        len(line) <= 60 for line in shown(view_of_heads([1, 0, 7], [1, 0, 1]), 60).split("\n")
    )


def test_low_terminals_get_fewer_choices_of_each_head():
    view = view_of_heads([1, 1, 7], [True, True, True])
    assert "15 more" in shown(view, height=24)
    assert "17 more" in shown(view, height=10)


def test_bits_are_on_or_off():
    labels = tuple(HeadLabels(f"lamp_{k}", OFF_ON) for k in range(4))
    mask = np.array([1, 1, 0, 1, 1, 0, 0, 0], bool)
    probs = np.array([0.25, 0.75, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    heads = split_heads(labels, np.array([1, 1, 0, 0]), mask, np.zeros(8), probs)
    text = shown(StepView(world="", title="bits", heads=heads, binary=True))
    assert ">" in line_with(text, "lamp 0") and "75.0%" in line_with(text, "lamp 0")
    assert "must be on" in line_with(text, "lamp 1")
    off = line_with(text, "lamp 2")
    assert "must be off" in off and ">" not in off and "0.0%" in off
    assert "idle" in line_with(text, "lamp 3") and "%" not in line_with(text, "lamp 3")


def test_of_many_bits_those_that_are_on_or_likely_to_be_are_shown():
    labels = tuple(HeadLabels(f"bit {k}", OFF_ON) for k in range(30))
    probs = np.tile([0.9, 0.1], 30)
    action = np.zeros(30, int)
    action[[3, 29]] = 1
    heads = split_heads(labels, action, None, np.zeros(60), probs)
    text = shown(StepView(world="", title="bits", heads=heads, binary=True))
    assert ">" in line_with(text, "bit 3 ") and ">" in line_with(text, "bit 29")
    assert "18 more" in text and "0 on" in line_with(text, "18 more")


def test_an_end_shows_the_world_alone():
    text = shown(StepView(world="the end of it", title="over", gained=1))
    assert "the end of it" in text and "return so far +1.00" in text
    assert "probability" not in text and "expects" not in text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "    "), (1, "████"), (0.5, "██  "), (0.28, "█▏  "), (7, "████")]
)
def test_bars(share, text):
    assert bar(share, 4) == text


def test_pictures_become_half_blocks():
    picture = np.zeros((4, 2, 3), np.uint8)
    picture[0, 0] = 255, 0, 0
    picture[1, 0] = 0, 0, 255
    text = half_blocks(picture)
    assert text.plain == "▀▀\n▀▀"
    assert text.spans[0].style == "rgb(255,0,0) on rgb(0,0,255)"
    wide = half_blocks(np.zeros((100, 200, 3), np.uint8), columns=40).plain.split("\n")
    assert len(wide) == 10 and len(wide[0]) == 40
    assert "▀▀" in shown(replace(VIEW, world=picture))


def test_by_value_the_table_shows_values_and_marks_what_is_masked():
    view = StepView(
        world="x",
        title="t",
        action_names=("left", "right", "throw_it"),
        action_mask=np.array([True, True, False]),
        probabilities=np.array([0.5, 0.5, 0.0]),
        action=1,
        q_values=np.array([-2.0, -1.0, 9.5]),
        by_value=True,
    )
    lines = shown(view).splitlines()
    (left, right, throw) = (next(x for x in lines if n in x) for n in ("left", "right", "throw it"))
    assert "-2.00" in left and "█" not in left  # the worst that is allowed: half a cell
    assert right.split()[:2] == [">", "right"] and "-1.00" in right and "█" * 16 in right
    # The largest value of all has no bar, because nobody can take it.
    assert "masked" in throw and "+9.50" in throw and "█" not in throw
    assert "probability" not in shown(view) and "%" not in shown(view)


def test_beside_probabilities_values_have_a_column():
    view = StepView(
        world="x",
        title="t",
        action_names=("left", "right"),
        action_mask=np.array([True, False]),
        probabilities=np.array([1.0, 0.0]),
        action=0,
        q_values=np.array([-2.0, 7.0]),
    )
    text = shown(view)
    assert "probability" in text and "Q-value" in text and "100.0%" in text and "-2.00" in text


def test_of_many_actions_by_value_the_best_are_shown():
    count = 40
    view = StepView(
        world="x",
        title="t",
        action_names=tuple(f"move_{k}" for k in range(count)),
        action_mask=np.arange(count) % 2 == 0,
        probabilities=np.full(count, 1 / count),
        action=0,
        q_values=np.arange(count, dtype=float),
        by_value=True,
    )
    text = shown(view)
    assert "move 38" in text and "move 39" not in text and "> move 0 " in " ".join(text.split())
    assert f"{count - 12} more" in text and "20 masked" in text
