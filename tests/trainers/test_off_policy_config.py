"""What settings of all off-policy algorithms share."""

from __future__ import annotations

import pytest

from maskrl.errors import ConfigError
from maskrl.trainers.off_policy_config import OffPolicyConfig


def test_defaults_can_be_trained_with():
    config = OffPolicyConfig()
    assert config.learning_starts < config.replay_size
    assert config.train_every % config.num_envs == 0
    assert config.save_replay


@pytest.mark.parametrize("name", ["num_envs", "replay_size", "train_every", "log_every"])
def test_sizes_are_positive(name):
    for value in (0, -3, 2.0, True):
        with pytest.raises(ConfigError, match=f"{name}: expected a positive whole number"):
            OffPolicyConfig(**{name: value})


@pytest.mark.parametrize("name", ["learning_starts", "evaluate_every", "checkpoint_every"])
def test_some_may_be_none_at_all(name):
    assert getattr(OffPolicyConfig(**{name: 0}), name) == 0
    with pytest.raises(ConfigError, match=name):
        OffPolicyConfig(**{name: -1})
