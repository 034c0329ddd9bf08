"""Named streams: each its own, repeatable, and continued exactly from its state."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from maskrl.errors import ConfigError
from maskrl.runs.seeding import Seeds, seed_everything


def draw(seeds):
    return (
        seeds.numpy("env").random(3).tolist(),
        torch.rand(3, generator=seeds.torch("policy")).tolist(),
        np.random.random(2).tolist(),  # noqa: NPY002
        torch.rand(2).tolist(),
        random.random(),
    )


def test_the_same_seed_gives_the_same_everything():
    first = [seed_everything(4), draw(seed_everything(4)), random.random()]
    second = [seed_everything(4), draw(seed_everything(4)), random.random()]
    assert first[1:] == second[1:]
    assert draw(seed_everything(5)) != first[1]


def test_a_new_stream_moves_no_other():
    a, b = Seeds(1), Seeds(1)
    b.numpy("evaluation").random(10)
    b.torch("another")
    assert a.numpy("env").random() == b.numpy("env").random()
    assert a.integer("env") == b.integer("env") != a.integer("other")


def test_streams_of_names_and_seeds_are_unrelated():
    firsts = {Seeds(s).numpy(n).random() for s in range(20) for n in ("a", "b", "ab")}
    assert len(firsts) == 60


def test_a_state_continues_every_stream_through_json():
    seeds = seed_everything(7)
    draw(seeds)
    state = json.loads(json.dumps(seeds.get_state()))
    expected = [draw(seeds) for _ in range(2)]
    fresh = seed_everything(7)
    held = fresh.numpy("env")
    fresh.set_state(state)
    assert fresh.numpy("env") is held
    assert [draw(fresh) for _ in range(2)] == expected


def test_a_state_of_another_seed_is_refused():
    with pytest.raises(ConfigError, match="of seed 1, not 2"):
        Seeds(2).set_state(Seeds(1).get_state())


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "1"])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ConfigError, match="seed: expected a whole number"):
        Seeds(seed)
