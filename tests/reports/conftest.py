"""A run as training leaves it, made up, and a page of it; nothing here trains."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from maskrl.masks.tree import ActionTree, Head
from maskrl.policies.episode import EpisodeRecord, EpisodeStep
from maskrl.policies.head_view import OFF_ON, HeadLabels
from maskrl.reports.attention_scenes import AttentionView, SceneMaps
from maskrl.reports.live_policy import LivePolicy
from maskrl.reports.run_data import RunData

ACTIONS = ("up", "down", "left", "right", "wait", "use_item")
ENTITIES = ("panda", "watermelon", "scorpion", "dragon", "banana 1", None)
PLACES = ((0.1, 0.5), (0.9, 0.1), (0.5, 0.5), (0.9, 0.9), (0.1, 0.5), None)


def made_up_metrics(rows: int = 60, *, scored: bool = True) -> dict[str, np.ndarray]:
    """Columns of metrics that rise and fall as in a training that works."""
    rng = np.random.default_rng(0)
    done = np.linspace(0, 1, rows)
    rise = 1 - np.exp(-4 * done)

    def noisy(values: np.ndarray, size: float) -> np.ndarray:
        return values + size * rng.standard_normal(rows)

    evaluated = np.where(np.arange(rows) % 10 == 9, noisy(rise, 0.02), np.nan)
    columns = {
        "step": np.round(np.linspace(2048, 1_200_000, rows)),
        "return_mean": noisy(-0.6 + 1.3 * rise, 0.03),
        "length_mean": noisy(18 - 8 * rise, 0.4),
        "entropy": noisy(1.45 - 1.1 * rise, 0.02),
        "entropy_normalized": noisy(0.98 - 0.7 * rise, 0.01),
        "policy_loss": noisy(-0.01 * np.ones(rows), 0.003),
        "value_loss": np.abs(noisy(0.4 - 0.3 * rise, 0.02)),
        "explained_variance": noisy(0.8 * rise, 0.03),
        "approx_kl": np.abs(noisy(0.012 - 0.008 * done, 0.002)),
        "clip_fraction": np.abs(noisy(0.15 - 0.1 * done, 0.01)),
        "grad_norm": np.abs(noisy(0.4 - 0.2 * done, 0.05)),
        "learning_rate": 3e-4 * (1 - done),
        "ratio_drift": np.abs(noisy(np.zeros(rows), 2e-7)),
        "allowed_share": noisy(0.62 + 0.03 * done, 0.004),
        "forced_share": np.abs(noisy(0.02 * np.ones(rows), 0.003)),
        "idle_share": np.zeros(rows),
        "disallowed_mass": np.clip(noisy(0.36 + 0.2 * rise, 0.01), 0, 1),
        "illegal_actions": np.zeros(rows),
        "eval_return": -0.6 + 1.4 * evaluated,
    }
    if scored:
        columns["eval_score"] = evaluated
    return columns


def made_up_config(env: str = "panda") -> dict[str, Any]:
    """Settings as a run folder holds them."""
    return {
        "format": 1,
        "env": env,
        "env_kwargs": {"sight": "trees"} if env == "panda" else {},
        "seed": 3,
        "total_steps": 1_200_000,
        "threads": 1,
        "ppo": {"learning_rate": 3e-4, "network": {"hidden": [64, 64]}, "value_clip": None},
        "versions": {"maskrl": "0.1.0"},
    }


def made_up_evaluation(*, scored: bool = True) -> dict[str, Any]:
    """A final evaluation."""
    evaluation = {
        "mean": 0.72,
        "episodes": 200,
        "illegal_actions": 0,
        "random_mean": -0.58,
        "untrained_mean": -0.66,
        "standard_error": 0.03,
        "length_mean": 10.4,
    }
    return evaluation | ({"planner_mean": 0.91, "score": 0.8725} if scored else {})


def made_up_frame(index: int) -> np.ndarray:
    """A picture of a grid with one square that wanders."""
    frame = np.full((140, 140, 3), 235, np.uint8)
    frame[::20] = frame[:, ::20] = 210
    x = 20 * (index % 7)
    frame[62:78, x + 2 : x + 18] = (40, 90, 60)
    return frame


def made_up_step(index: int, *, text: bool, entities: bool, actions: int) -> EpisodeStep:
    """A decision whose mask and attention are proper."""
    rng = np.random.default_rng(index)
    logits = rng.standard_normal(actions).astype(np.float32)
    mask = rng.random(actions) < 0.6
    mask[index % actions] = True
    weights = np.where(mask, np.exp(logits), 0.0)
    probs = (weights / weights.sum()).astype(np.float32)
    present = np.array([name is not None for name in ENTITIES])
    sees = np.outer(present, present)
    sees[[0, 1, 3, 4], 2] = False
    attention = []
    for rows in (6, 1):
        raw = np.where(sees[:rows], rng.random((4, rows, 6)) + 0.1, 0.0)
        attention.append(raw / np.maximum(raw.sum(-1, keepdims=True), 1e-9))
    return EpisodeStep(
        frame=None if text else made_up_frame(index),
        text=f"+---+\n|\x1b[43mT\x1b[0m:{index}|\n+---+\n" if text else None,
        observation={},
        action=int(probs.argmax()),
        action_mask=mask,
        logits=logits,
        probs=probs,
        value=0.1 * index,
        reward=1.0 if index == 8 else -0.01,
        entity_names=ENTITIES if entities else None,
        entity_mask=present if entities else None,
        visibility=sees if entities else None,
        attention=tuple(attention) if entities else (),
        entity_places=PLACES if entities else None,
    )


def made_up_episode(
    *, steps: int = 9, text: bool = False, entities: bool = True, actions: tuple[str, ...] = ACTIONS
) -> EpisodeRecord:
    """An episode that nobody played."""
    made = tuple(
        made_up_step(k, text=text, entities=entities, actions=len(actions)) for k in range(steps)
    )
    return EpisodeRecord(
        env="panda",
        env_kwargs={},
        seed=0,
        steps=made,
        final_frame=None if text else made_up_frame(steps),
        final_text="the end" if text else None,
        terminated=True,
        truncated=False,
        action_names=actions,
        layout_id=5 if entities else None,
    )


TREE = ActionTree(
    Head("command", 4, choices=("wait", "move", "attack", "build")),
    Head("direction", 4, relevant={"command": [1]}, choices=("north", "east", "south", "west")),
    Head("target", 49, relevant={"command": [2]}),
    Head("building", 3, relevant={"command": [3]}, choices=("tower", "wall", "gold_mine")),
)
"""Parts that come and go with the command, one of them with many choices."""

LABELS = {
    "tree": tuple(
        HeadLabels(head.name, head.choices or tuple(str(k) for k in range(head.size)))
        for head in TREE.heads
    ),
    "multi_discrete": tuple(
        HeadLabels(f"head {k}", tuple(str(c) for c in range(n))) for k, n in enumerate((3, 5, 2))
    ),
    "multi_binary": tuple(HeadLabels(f"lamp_{k}", OFF_ON) for k in range(6)),
    "candidates": (HeadLabels("", tuple(f"candidate {k}" for k in range(24))),),
}


def made_up_heads_step(index: int, kind: str) -> EpisodeStep:
    """A decision of several heads, of bits, or among candidates."""
    rng = np.random.default_rng(100 + index)
    labels = LABELS[kind]
    sizes = tuple(len(head.choices) for head in labels)
    total = sum(sizes)
    logits = rng.normal(scale=1.5, size=total)
    mask = rng.random(total) < 0.6
    if kind == "candidates":
        mask[6 + index :] = False
        mask[0] = True
    action, start = [], 0
    probs = np.zeros(total)
    for k, size in enumerate(sizes):
        if kind == "multi_binary":
            logits[start] = 0.0
        choice = index % size if k == 0 else int(rng.integers(size))
        if kind == "candidates":
            choice = int(np.where(mask, logits, -np.inf).argmax())
        mask[start + choice] = True
        part = slice(start, start + size)
        weights = np.where(mask[part], np.exp(logits[part]), 0.0)
        probs[part] = weights / weights.sum()
        action.append(choice)
        start += size
    return EpisodeStep(
        frame=made_up_frame(index),
        text=None,
        observation={},
        action=action[0] if kind == "candidates" else np.array(action),
        action_mask=mask,
        logits=logits,
        probs=probs,
        value=0.1 * index,
        reward=1.0 if index == 8 else -0.01,
        relevant=TREE.relevant(action) if kind == "tree" else None,
    )


def made_up_heads_episode(kind: str, *, steps: int = 6) -> EpisodeRecord:
    """An episode of an environment whose actions have another shape than one number."""
    return EpisodeRecord(
        env="outpost",
        env_kwargs={},
        seed=0,
        steps=tuple(made_up_heads_step(k, kind) for k in range(steps)),
        final_frame=made_up_frame(steps),
        final_text=None,
        terminated=True,
        truncated=False,
        action_names=tuple(name for head in LABELS[kind] for name in head.choices),
        action_kind=kind,
        heads=LABELS[kind],
    )


def made_up_scene(scene: str) -> SceneMaps:
    """Attention of four entities, the scorpion hidden where there are trees."""
    sees = np.ones((2, 4, 4), np.bool_)
    if scene == "trees":
        sees[:, [0, 1, 3], 2] = False
    own = sees & sees[:, :1]
    own |= np.eye(4, dtype=np.bool_)
    raw = np.random.default_rng(1).random((2, 4, 4, 4)) + 0.05

    def view(permitted: np.ndarray) -> AttentionView:
        weights = np.where(permitted[:, None], raw, 0.0)
        return AttentionView(weights / weights.sum(-1, keepdims=True), permitted)

    return SceneMaps(
        scene=scene,
        title=f"Scene {scene}",
        names=("panda", "watermelon", "scorpion", "dragon"),
        picture=made_up_frame(3),
        places=np.array([[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]),
        unmasked=view(np.ones((2, 4, 4), np.bool_)),
        sight=view(sees),
        observer=view(own),
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why browser tests were left out: a letter among dots would not be read."""
    left_out = terminalreporter.getreports("skipped")
    reasons = {r.longrepr[2] for r in left_out if "in_browser" in r.nodeid}
    for reason in reasons:
        terminalreporter.write_line(reason, yellow=True)


@pytest.fixture(scope="session")
def make_episode() -> Callable[..., EpisodeRecord]:
    return made_up_episode


@pytest.fixture(scope="session")
def make_heads_episode() -> Callable[..., EpisodeRecord]:
    return made_up_heads_episode


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunData]:
    def make(env: str = "panda", *, scored: bool = True, **changes: Any) -> RunData:
        run = RunData(
            config=made_up_config(env),
            metrics=made_up_metrics(scored=scored),
            timings={"step": np.array([1.0]), "elapsed": np.array([291.0])},
            evaluation=made_up_evaluation(scored=scored),
        )
        return dataclasses.replace(run, **changes)

    return make


@pytest.fixture(scope="session")
def panda_live() -> LivePolicy:
    return LivePolicy(
        episodes=(made_up_episode(), made_up_episode(steps=4)),
        scenes=(made_up_scene("open"), made_up_scene("trees")),
    )


@pytest.fixture(scope="session")
def text_live() -> LivePolicy:
    """Episodes of an environment without entities that draws itself as text."""
    return LivePolicy(episodes=(made_up_episode(text=True, entities=False),))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run folder without a checkpoint."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(made_up_config()))
    columns = made_up_metrics(rows=12)
    rows = [",".join(columns)]
    for values in zip(*columns.values(), strict=True):
        rows.append(",".join("" if np.isnan(v) else repr(float(v)) for v in values))
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    (folder / "timings.csv").write_text("step,elapsed\n1200000,291.5\n")
    (folder / "evaluation.json").write_text(json.dumps(made_up_evaluation()))
    return folder


@pytest.fixture(scope="session")
def team_records() -> SimpleNamespace:
    """Makers of made-up episodes of teams: `scene_episode` and `units_episode`."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("team_records.py"))))


MISSING = (
    "the report is not opened in a browser: {} or selenium is missing. "
    "apt-get install chromium chromium-driver; pip install -e '.[dev]'"
)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_program(*names: str) -> str:
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is not None and importlib.util.find_spec("selenium") is not None:
        return found
    if os.environ.get("MASKRL_BROWSER") == "required":
        pytest.fail(MISSING.format(names[0]))
    pytest.skip(MISSING.format(names[0]))


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    binary = find_program("chromium", "chromium-browser", "google-chrome")
    driver = find_program("chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()
