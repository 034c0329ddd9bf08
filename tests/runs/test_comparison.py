"""A comparison read from its folder: every variant and run, also those under way."""

from __future__ import annotations

import json

import pytest

from maskrl.errors import RunFolderError
from maskrl.runs.comparison import read_comparison

VARIANTS = [
    {"label": "toy", "env": "toy", "tests": [{"mean": 1.0}, {"mean": 2.0}]},
    {
        "label": "toy, naive, ratio=head",
        "env": "toy",
        "regime": "naive",
        "varied": {"ratio": "head"},
        "tests": [{"mean": 0.5, "mask_removed": {"greedy": {"mean": 0.1}}}, None],
    },
    {"label": "toy?size=9", "env": "toy?size=9", "tests": [{"mean": 0.0}, {"mean": 0.0}]},
]


@pytest.fixture
def folder(tmp_path, write_comparison):
    return write_comparison(tmp_path / "out", VARIANTS, seeds=(3, 7), threshold=0.5)


def test_every_run_is_there(folder):
    found = read_comparison(folder)
    assert found.seeds == (3, 7) and found.envs == ("toy", "toy?size=9")
    assert (found.threshold, found.window, found.episodes) == (0.5, 2, 20)
    masked, naive, other = found.variants
    assert [v.label for v in found.on("toy")] == ["toy", "toy, naive, ratio=head"]
    assert masked.name == "masked" and naive.name == "naive, ratio=head"
    assert [run.evaluation["mean"] for run in masked.runs] == [1.0, 2.0]
    assert masked.total_steps == 1000 and other.regime == "masked"
    first, second = naive.runs
    assert first.removed["greedy"]["mean"] == 0.1 and masked.runs[0].removed == {}
    assert first.is_finished and not second.is_finished and naive.finished == (first,)
    assert len(first.episodes) == 10 and len(second.episodes) == 5
    assert first.last("allowed_share") == 0.5 and first.speed == (1000.0, 10.0)


def test_a_run_that_has_not_begun_is_empty(folder):
    import shutil

    shutil.rmtree(folder / "toy" / "seed-3")
    run = read_comparison(folder).variants[0].runs[0]
    assert run.path is None and not run.is_finished and len(run.episodes) == 0
    assert run.speed == (0.0, 0.0) and run.metrics == {}


def test_a_test_of_another_length_is_not_hidden(folder):
    # As after a call with another --episodes that names other variants or fewer seeds.
    path = folder / "compare.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "episodes": 5}))
    found = read_comparison(folder)
    assert [run.is_finished for run in found.variants[0].runs] == [True, True]
    assert (found.episodes, found.tested_episodes) == (5, (20,))
    path = folder / "toy" / "seed-3" / "evaluation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "episodes": 5}))
    assert read_comparison(folder).tested_episodes == (5, 20)


def test_what_is_no_comparison_is_named(folder, tmp_path):
    with pytest.raises(RunFolderError, match=r"holds no comparison: compare.json is missing"):
        read_comparison(tmp_path)
    path = folder / "compare.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    with pytest.raises(RunFolderError, match="has format 1, this version of maskrl reads 2"):
        read_comparison(folder)


def test_a_test_of_a_run_that_is_still_to_be_trained_finishes_nothing(tmp_path, write_comparison):
    # As `maskrl evaluate` writes it into the folder of a run that was stopped at half its steps.
    early = {"mean": 9.0, "returns": [0.0] * 5, "step": 500}
    variants = [{"label": "toy", "env": "toy", "tests": [early, {"mean": 1.0}]}]
    folder = write_comparison(tmp_path / "out", variants, seeds=(0, 1))
    (toy,) = read_comparison(folder).variants
    assert [run.seed for run in toy.finished] == [1]
    # Where minutes end a training, steps do not tell.
    path = folder / "compare.json"
    path.write_text(path.read_text().replace('"ppo": {}', '"ppo": {}, "max_minutes": 2.0'))
    (toy,) = read_comparison(folder).variants
    assert [run.seed for run in toy.finished] == [0, 1]
