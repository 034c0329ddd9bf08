"""Running statistics: equal to those over all samples at once, and still while frozen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from maskrl.envs.contract import mask_space
from maskrl.errors import ConfigError
from maskrl.networks.normalize import (
    FeatureNormalizer,
    ObservationNormalizer,
    RewardScale,
    RunningMoments,
    seen_entities,
)

SCENE = spaces.Dict(
    {
        "entities": spaces.Box(-1, 1, (3, 2), np.float32),
        "entity_mask": mask_space(3),
        "visibility": mask_space(3, 3),
        "action_mask": mask_space(4),
    }
)


def test_merged_moments_equal_those_of_everything():
    samples = torch.randn(100, 4, dtype=torch.float64) * 3 + 5
    moments = RunningMoments((4,))
    for part in samples.split([1, 9, 40, 50]):
        moments.update(part)
    torch.testing.assert_close(moments.mean, samples.mean(0))
    torch.testing.assert_close(moments.variance, samples.var(0, unbiased=False))
    assert moments.count == 100


def test_far_from_zero_nothing_is_lost():
    samples = torch.randn(1000, dtype=torch.float64) + 1e9
    moments = RunningMoments()
    for part in samples.split(10):
        moments.update(part)
    torch.testing.assert_close(moments.variance, samples.var(unbiased=False), rtol=1e-6, atol=0)


def test_nothing_kept_changes_nothing():
    moments = RunningMoments((2,))
    moments.update(torch.full((3, 2), float("nan")), torch.zeros(3, dtype=torch.bool))
    assert moments.count == 0
    assert moments.mean.tolist() == [0.0, 0.0]


def test_before_the_first_update_nothing_is_changed():
    x = torch.tensor([[3.0, -4.0]])
    assert torch.equal(FeatureNormalizer((2,))(x), x)


def test_normalised_features_have_mean_zero_and_variance_one():
    normalizer = FeatureNormalizer((3,))
    x = torch.randn(500, 3) * torch.tensor([0.1, 1.0, 50.0]) + 7
    normalizer.update(x)
    out = normalizer(x)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(0, unbiased=False), torch.ones(3), atol=1e-4, rtol=0)


def test_outliers_are_limited_and_constants_are_not_blown_up():
    normalizer = FeatureNormalizer((2,), limit=5.0)
    normalizer.update(torch.stack([torch.randn(50), torch.full((50,), 2.0)], -1))
    out = normalizer(torch.tensor([[1e6, 2.5]]))
    assert out.tolist() == [[5.0, 0.5]]


def test_acting_moves_no_statistic():
    normalizer = ObservationNormalizer(SCENE)
    before = {name: x.clone() for name, x in normalizer.state_dict().items()}
    normalizer(
        {
            "entities": torch.randn(4, 3, 2),
            "entity_mask": torch.ones(4, 3, dtype=torch.bool),
            "visibility": torch.ones(4, 3, 3, dtype=torch.bool),
        }
    )
    for name, x in normalizer.state_dict().items():
        assert torch.equal(x, before[name])


def test_only_what_is_there_and_seen_is_read():
    present = torch.tensor([[True, True, True], [True, True, False]])
    visibility = torch.ones(2, 3, 3, dtype=torch.bool)
    visibility[0, 0, 1] = False  # hidden from the observer, though not from entity 2
    entities = torch.tensor([[[1.0, 2.0], [99.0, 99.0], [3.0, 4.0]], [[5.0, 6.0]] * 3])
    entities[1, 2] = float("nan")
    normalizer = ObservationNormalizer(SCENE)
    obs = {"entities": entities, "entity_mask": present, "visibility": visibility}
    normalizer.update(obs)
    moments = normalizer.normalizers[0].moments
    assert moments.count == 4
    assert moments.mean.tolist() == [(1 + 3 + 5 + 5) / 4, (2 + 4 + 6 + 6) / 4]
    assert torch.isnan(normalizer(obs)["entities"][1, 2]).all()


def test_candidates_are_read_where_they_may_be_chosen_as_samples_of_one_kind():
    space = spaces.Dict(
        {"candidates": spaces.Box(-9, 9, (3, 2), np.float32), "action_mask": mask_space(3)}
    )
    normalizer = ObservationNormalizer(space)
    candidates = torch.tensor([[[1.0, 2.0], [99.0, 99.0], [3.0, 4.0]], [[5.0, 6.0]] * 3])
    candidates[1, 2] = float("nan")
    mask = torch.tensor([[True, False, True], [True, True, False]])
    obs = {"candidates": candidates, "action_mask": mask}
    normalizer.update(obs)
    moments = normalizer.normalizers[0].moments
    assert moments.count == 4
    assert moments.mean.tolist() == [(1 + 3 + 5 + 5) / 4, (2 + 4 + 6 + 6) / 4]
    out = normalizer(obs)["candidates"]
    assert out.shape == candidates.shape
    torch.testing.assert_close(out[mask].mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    del obs["action_mask"]
    normalizer.update({"candidates": torch.ones(1, 3, 2)})
    assert moments.count == 7


def test_observer_always_sees_itself():
    obs = {
        "entity_mask": torch.ones(1, 2, dtype=torch.bool),
        "visibility": torch.zeros(1, 2, 2, dtype=torch.bool),
    }
    assert seen_entities(obs).tolist() == [[True, False]]
    obs["visibility"] = torch.tensor([[False, True]])
    assert seen_entities(obs).tolist() == [[True, True]]
    assert obs["visibility"].tolist() == [[False, True]]
    del obs["visibility"]
    assert seen_entities(obs).tolist() == [[True, True]]


def test_bytes_and_whole_numbers_pass():
    space = spaces.Dict(
        {
            "picture": spaces.Box(0, 255, (4, 4, 3), np.uint8),
            "memory": spaces.Box(0, 255, (2,), np.uint8),
            "index": spaces.Discrete(5),
            "vector": spaces.Box(-1, 1, (2,), np.float64),
            "action_mask": mask_space(2),
        }
    )
    normalizer = ObservationNormalizer(space)
    assert normalizer.keys == ["memory", "vector"]  # no encoder scales bytes but in pictures
    obs = {
        "picture": torch.ones(1, 4, 4, 3, dtype=torch.uint8),
        "memory": torch.tensor([[0, 20]], dtype=torch.uint8),
        "index": torch.ones(1, dtype=torch.int64),
        "vector": torch.ones(1, 2),
    }
    memory = torch.tensor([[0, 0], [20, 20]], dtype=torch.uint8)
    vector = torch.tensor([[1.0, 3.0], [3.0, 1.0]])
    normalizer.update({**obs, "memory": memory, "vector": vector})
    out = normalizer(obs)
    assert out["picture"] is obs["picture"]
    assert out["index"] is obs["index"]
    assert out["vector"].tolist() == [[-1.0, -1.0]]
    assert out["memory"].tolist() == [[-1.0, 1.0]]


def test_nothing_to_normalise_is_refused():
    space = spaces.Dict({"index": spaces.Discrete(5), "action_mask": mask_space(2)})
    with pytest.raises(ConfigError, match="no real-valued entry"):
        ObservationNormalizer(space)


def test_rewards_are_divided_by_the_deviation_of_discounted_returns():
    scale = RewardScale(2, gamma=0.5)
    rewards = torch.tensor([[1.0, 2.0], [1.0, 0.0], [4.0, 0.0]])
    ended = torch.tensor([[False, True], [False, False], [False, False]])
    assert torch.equal(scale(rewards), rewards)
    scale.update(rewards, ended)
    # env 0: 1, 1.5, 4.75; env 1: 2, then anew 0, 0
    returns = np.array([1, 1.5, 4.75, 2, 0, 0])
    torch.testing.assert_close(scale(rewards), rewards / float(returns.std()))
    assert scale.running.tolist() == [4.75, 0.0]
    assert scale(torch.tensor([[1e9]])).item() == 10.0


@pytest.mark.parametrize(("novelty", "first"), [(False, 1.0), (True, 10.0)])
def test_what_never_varied_before_is_plain_or_at_the_limit(novelty, first):
    normalizer = FeatureNormalizer((2,), limit=10.0)
    constant = torch.tensor([[0.0, 3.0]]).repeat(50, 1)
    normalizer.update(constant, novelty=novelty)
    assert torch.equal(normalizer(constant), torch.zeros(50, 2))
    seen = normalizer(torch.tensor([[1.0, 3.0], [0.0, 2.0]]))
    assert seen.tolist() == [[first, 0.0], [0.0, -first]]
    # What has varied since has a scale of its own, either way.
    normalizer.update(torch.tensor([[1.0, 3.0]]).repeat(50, 1), novelty=novelty)
    assert normalizer(torch.tensor([[1.0, 3.0]]))[0].tolist() == pytest.approx([1.0, 0.0])
