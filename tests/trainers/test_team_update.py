"""Learning from a team's rollout: the check before the first step, and what it is learned from."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from maskrl.distributions import GridwiseCategorical
from maskrl.envs.teams import describe_team
from maskrl.errors import RatioDriftError
from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.ppo import PPO
from maskrl.trainers.ppo_config import PPOConfig
from maskrl.trainers.team_update import TeamLesson, acting_in

B, T = 4, 16
SMALL = PPOConfig(
    num_envs=B,
    rollout_steps=T,
    minibatch_size=24,
    epochs=2,
    threads=1,
    death="terminal",
    network=NetworkConfig(hidden=(8,), entity_dim=8, entity_heads=2, entity_depth=1),
)


def collected(env, config=SMALL):
    """A trainer whose buffer holds a judged rollout."""
    trainer = PPO(env, config, seed=4)
    trainer.parts.judge(trainer.collector.collect())
    return trainer


def learn(trainer):
    with trainer.parts.trusted():
        return trainer.update.run(trainer.buffer, learning_rate=1e-3, entropy_coef=0.0)


def test_minibatches_are_all_steps_once_per_epoch(shifts):
    trainer = collected(shifts(B))
    lesson = trainer.update.lesson(trainer.buffer, 0.0)
    parts = list(lesson.minibatches())
    assert [len(part) for part in parts] == [22, 21, 21] * 2
    for epoch in (parts[:3], parts[3:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(T * B))
    batch = trainer.buffer.minibatch(parts[0], trainer.device)
    acting = acting_in(batch)
    assert acting.batch == 22 and len(acting) == len(batch.actions)
    assert torch.equal(acting.action_mask, batch.masks["action_mask"])


@pytest.mark.parametrize("form", ["own", "grid"])
@pytest.mark.parametrize("choices", [{}, {"heads": (5, 3)}, {"tree": True}], ids=str)
def test_another_mask_than_at_sampling_is_found(shifts, form, choices):
    env = shifts(B, form=form, **choices)
    trainer = collected(env)
    acted = trainer.buffer.acted
    row = 7
    entry, slot = int(acted.entries[row]), int(acted.slots[row])
    bits = acted.bits("action_mask")
    bits[row] |= 0b11111  # five choices instead of two
    trainer.update.config = trainer.config.replace(minibatch_size=T * B)
    with pytest.raises(RatioDriftError) as told:
        learn(trainer)
    message = str(told.value)
    step, where = divmod(entry, B)
    assert message.startswith(f"environment {where}, step {step} of the rollout, agent {slot}")
    if form == "grid":
        cell = divmod(int(acted.places[row]), 4)
        assert f"in cell {cell}" in message
    head = "'what'" if choices.get("tree") else "0"
    assert f"head {head}: action {int(acted.actions[row, 0])} was sampled" in message
    assert "its action_mask allows [0, 1, 2, 3, 4]" in message


def test_one_head_of_one_agent_is_named(shifts):
    trainer = collected(shifts(B, heads=(5, 3)))
    trainer.buffer.acted.log_probs[11, 1] += 0.01
    trainer.update.config = trainer.config.replace(minibatch_size=T * B)
    slot = int(trainer.buffer.acted.slots[11])
    with pytest.raises(RatioDriftError, match=f"agent {slot}, head 1: action"):
        learn(trainer)
    trainer.buffer.acted.log_probs[11, 1] = np.nan
    with pytest.raises(RatioDriftError, match="with log-probability nan"):
        learn(trainer)


def test_a_policy_that_is_not_the_same_function_twice(shifts):
    trainer = collected(shifts(B))
    weights = next(p for name, p in trainer.policy.named_parameters() if "actor" in name)
    with torch.no_grad():
        weights.add_(torch.randn(weights.shape, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(RatioDriftError, match="reads the observation's agent_mask"):
        learn(trainer)


def test_where_the_first_minibatch_has_nobody_others_are_checked(shifts):
    env = shifts(1, disaster=0.4, back=0.05)
    config = SMALL.replace(num_envs=1, rollout_steps=64, minibatch_size=1, critic="team")
    trainer = collected(env, config)
    lesson = trainer.update.lesson(trainer.buffer, 0.0)
    empty = int(np.flatnonzero(trainer.buffer.acted.counts == 0)[0])
    loss = lesson.loss(np.array([empty]))
    assert len(loss.log_probs) == 0
    measured = lesson.look(loss)
    assert measured["ratio_drift"] <= 1e-5 and measured["entropy_normalized"] > 0.9
    trainer.buffer.acted.log_probs[0] += 0.1
    with pytest.raises(RatioDriftError, match="environment 0, step 0 of the rollout, agent 0"):
        lesson.look(loss)


def test_advantages_are_normalised_over_those_who_decided(shifts):
    trainer = collected(shifts(B, stuck=0.2), SMALL.replace(empty="idle"))
    buffer = trainer.buffer
    raw, keep = buffer.advantages.copy(), ~buffer.idle
    assert keep.sum() > 10 and (~keep).sum() > 5
    raw[~keep] = 1e6
    buffer.advantages = raw.copy()
    trainer.update.normalize(buffer)
    kept = raw[keep].astype(np.float64)
    expected = (kept - kept.mean()) / kept.std(ddof=1)
    np.testing.assert_allclose(buffer.advantages[keep], expected, rtol=1e-4, atol=1e-5)
    assert not buffer.advantages[~keep].any()


def test_joint_advantages_are_normalised_over_steps_in_which_somebody_decided(shifts):
    config = SMALL.replace(empty="idle", ratio="joint", death="posthumous")
    trainer = collected(shifts(B, stuck=0.3, disaster=0.2), config)
    buffer = trainer.buffer
    decided = np.zeros(T * B, np.bool_)
    for row, entry in enumerate(buffer.acted.entries):
        decided[entry] |= not buffer.idle[row]
    kept = buffer.advantages[decided].astype(np.float64)
    assert 0 < decided.sum() < T * B
    buffer.advantages[~decided] = 1e6
    trainer.update.normalize(buffer)
    expected = (kept - kept.mean()) / kept.std(ddof=1)
    np.testing.assert_allclose(buffer.advantages[decided], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", ["joint", "agent", "head"])
def test_the_ratio_that_is_set_is_the_one_that_is_clipped(shifts, ratio):
    config = SMALL.replace(ratio=ratio, death="posthumous", clip=0.02, learning_rate=1e-2)
    trainer = collected(shifts(B, heads=(5, 3)), config)
    with trainer.parts.trusted():
        learned = trainer.update.run(trainer.buffer, learning_rate=1e-2, entropy_coef=0.0)
    levels = [learned[f"clip_fraction_{name}"] for name in ("joint", "agent", "head")]
    assert learned["clip_fraction"] == learned[f"clip_fraction_{ratio}"]
    assert levels[0] > levels[1] > levels[2] > 0


def test_an_update_ends_when_the_policy_has_moved_enough(shifts):
    trainer = collected(shifts(B), SMALL.replace(target_kl=1e-6, epochs=8))
    with trainer.parts.trusted():
        learned = trainer.update.run(trainer.buffer, learning_rate=1e-2, entropy_coef=0.0)
    assert 1 <= learned["gradient_steps"] < 8 * 3


@pytest.mark.parametrize("stuck", [0.0, 0.7], ids=["all decide", "some idle"])
def test_what_masks_do_to_the_policy_that_acted(shifts, stuck):
    """With logits of 0 the network alone would put 3/5 and 1/3 on what masks disallow."""
    env = shifts(B, heads=(5, 3), stuck=stuck)
    trainer = PPO(env, SMALL.replace(empty="idle"), seed=4)
    with torch.no_grad():
        for parameter in trainer.policy.policy_head.parameters():
            parameter.zero_()
    trainer.parts.judge(trainer.collector.collect())
    lesson = TeamLesson(trainer.update, trainer.buffer, 0.0)
    measured = lesson.look(lesson.loss(next(iter(lesson.minibatches()))))
    assert measured["disallowed_mass"] == pytest.approx((3 / 5 + 1 / 3) / 2, rel=1e-5)
    assert measured["entropy_normalized"] == pytest.approx(1.0)
    assert re.fullmatch(r"\d(\.\d+)?(e-\d+)?", str(measured["ratio_drift"]))


class LargeTree(nn.Module):
    """A policy of one's own for a tree with too many prefixes for its exact entropy."""

    critic = "team"

    def __init__(self, env):
        super().__init__()
        self.team = describe_team(
            env.single_observation_space, env.single_action_space, env.action_tree
        )
        self.actor, self.valuer = nn.Linear(12, 8), nn.Linear(12, 1)

    def distribution(self, obs, acting=None):
        return GridwiseCategorical.from_packed(
            self.actor(obs["observation"][acting.row, acting.slot]),
            acting.offsets,
            acting.action_mask,
            tree=self.team.action_tree,
            max_enumeration=1,
        )

    def value(self, obs):
        return self.valuer(obs["observation"].sum(1)).squeeze(-1)


def test_the_entropy_of_a_large_tree_is_estimated(shifts):
    env = shifts(B, tree=True)
    config = SMALL.replace(network=NetworkConfig(), epochs=1, minibatch_size=T * B)
    torch.manual_seed(0)
    trainer = PPO(env, config, policy=LargeTree(env), seed=1)
    metrics, _ = trainer.step()
    # Two of five; then two of three, after about half of the choices.
    assert 0.9 * np.log(2) < metrics["entropy"] < 2 * np.log(2)
    assert np.isnan(metrics["entropy_normalized"]) and metrics["ratio_drift"] <= 1e-5
