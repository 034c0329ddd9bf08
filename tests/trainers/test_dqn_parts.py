"""DQN's gradient step, target network and exploration, by hand."""

from __future__ import annotations

import copy

import pytest
import torch

from maskrl.networks.encoders import NetworkConfig
from maskrl.objectives.q_loss import QLossSettings, q_loss
from maskrl.trainers.dqn import DQN, DQNConfig

SMALL = DQNConfig(
    num_envs=4,
    replay_size=200,
    learning_starts=16,
    batch_size=16,
    target_every=3,
    threads=1,
    evaluate_every=0,
    network=NetworkConfig(hidden=(16,)),
)


def filled(corridor, **changes):
    parts = DQN(corridor(4), SMALL.replace(**changes), seed=0).parts
    parts.collector.collect(10, parts.random_actions)
    return parts


def test_a_gradient_step_is_adam_on_the_loss(corridor):
    parts = filled(corridor, max_grad_norm=0.5)
    batch = parts.sample()
    policy, target = copy.deepcopy(parts.policy), copy.deepcopy(parts.target)
    adam = torch.optim.Adam(policy.parameters(), lr=0.01, eps=SMALL.adam_eps)
    for _ in range(3):
        measured, errors = parts.learn(batch, learning_rate=0.01)
        loss = q_loss(policy, target, batch, QLossSettings())
        adam.zero_grad()
        loss.value.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        adam.step()
        torch.testing.assert_close(errors, loss.errors, rtol=1e-4, atol=1e-6)
        assert float(measured[-1]) == pytest.approx(float(norm), rel=1e-4)
        assert len(measured) == len(parts.statistics)
    for ours, theirs in zip(parts.policy.parameters(), policy.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_the_target_network_follows_in_steps(corridor):
    parts = filled(corridor)
    first = [p.clone() for p in parts.target.parameters()]
    for taken in range(1, 7):
        parts.turn(0.01)
        same = all(torch.equal(a, b) for a, b in zip(first, parts.target.parameters(), strict=True))
        equal = all(
            torch.equal(a, b)
            for a, b in zip(parts.policy.parameters(), parts.target.parameters(), strict=True)
        )
        assert same == (taken < 3)
        assert equal == (taken % 3 == 0)


def test_the_target_network_follows_slowly(corridor):
    parts = filled(corridor, target_every=1, target_rate=0.25)
    before = [p.clone() for p in parts.target.parameters()]
    parts.turn(0.01)
    for old, now, behind in zip(
        before, parts.policy.parameters(), parts.target.parameters(), strict=True
    ):
        torch.testing.assert_close(behind, 0.75 * old + 0.25 * now)
        assert not behind.requires_grad


def test_epsilon_and_temperature_follow_their_schedules(corridor):
    parts = filled(corridor, epsilon_final=0.1, exploration_fraction=0.5)
    for fraction, epsilon in ((0.0, 1.0), (0.25, 0.55), (0.5, 0.1), (1.0, 0.1)):
        parts.fraction = fraction
        assert parts.schedule_metrics() == {"epsilon": pytest.approx(epsilon)}
    parts = filled(corridor, exploration="boltzmann", temperature=2.0, temperature_final=1.0)
    parts.fraction = 0.2
    assert parts.schedule_metrics() == {"temperature": pytest.approx(1.5)}
    assert filled(corridor, exploration="noisy").schedule_metrics() == {}


@pytest.mark.parametrize("exploration", ["epsilon", "boltzmann", "noisy"])
def test_what_is_tried_is_allowed_even_where_all_of_it_is_negative(corridor, exploration):
    parts = filled(corridor, exploration=exploration, temperature=5.0)
    with torch.no_grad():
        for parameter in (parts.policy.head.value, parts.policy.head.advantage):
            getattr(parameter, "mean", parameter).bias.sub_(50.0)
        layer = parts.policy.head.advantage
        getattr(layer, "mean", layer).bias[9] += 200.0  # disallowed here, and by far the best
    obs = {"observation": torch.eye(7)[torch.arange(2000) % 7]}
    obs["action_mask"] = torch.from_numpy(parts.collector.env.cell_masks)[torch.arange(2000) % 7]
    obs["action_mask"][:, 9] = False
    with torch.inference_mode():
        actions = parts.act(obs)
        best = parts.policy.distribution(obs).mode
    assert obs["action_mask"].gather(-1, actions[:, None]).all()
    tried = (actions != best).float().mean()
    if exploration != "noisy":
        assert 0.2 < tried < 0.6  # half of the random ones among two or less are the best


def test_noise_is_drawn_for_acting_and_learning_and_taken_back(corridor):
    parts = filled(corridor, exploration="noisy")
    obs = parts.collector.tensors()
    values = parts.policy.values(obs)
    parts.turn(1e-9)
    with torch.inference_mode():
        parts.act(obs)
    torch.testing.assert_close(parts.policy.values(obs), values, rtol=0, atol=1e-5)
    assert parts.policy.head.advantage._noise is None
    assert parts.target.head.value._noise is None
    scales = parts.policy.head.advantage.weight_scale
    assert scales.grad is not None and scales.grad.abs().max() > 0


def test_the_best_action_without_a_mask(corridor):
    parts = filled(corridor)
    with torch.no_grad():
        parts.policy.head.advantage.bias[9] += 100.0
    batch = parts.sample()
    allowed = batch.observations["action_mask"].unpack()[:, 9]
    expected = float((~allowed).float().mean())
    assert parts.batch_metrics(batch) == {"disallowed_mass": pytest.approx(expected)}


def test_states_that_allow_nothing_are_not_counted_as_wrong(corridor):
    config = SMALL.replace(empty="idle")
    parts = DQN(corridor(4, cooldown=True), config, seed=0).parts
    parts.collector.collect(20, parts.random_actions)
    batch = parts.sample()
    allowed = batch.observations["action_mask"].unpack()
    assert 0 < int((~allowed.any(-1)).sum()) < len(allowed)
    best = parts.policy.values(batch.observations).argmax(-1)
    wrong = [not row[k] for row, k in zip(allowed.tolist(), best.tolist(), strict=True) if any(row)]
    found = parts.batch_metrics(batch)["disallowed_mass"]
    assert found == pytest.approx(sum(wrong) / len(wrong)) and found < 1


def test_targets_beyond_the_atoms_are_counted_and_told_once(corridor, caplog):
    parts = filled(corridor, returns="categorical", low=0.0, high=0.5, atoms=11, n_step=1)
    batch = parts.sample()
    batch.rewards[:] = 0.1
    batch.rewards[:4] = torch.tensor([1.0, 2.0, -1.0, 0.25])  # three out of reach
    batch.terminated[:] = True
    with caplog.at_level("WARNING", logger="maskrl"):
        for _ in range(2):
            assert parts.batch_metrics(batch)["beyond_atoms"] == 3 / 16
    assert len(caplog.records) == 1
    assert "19 % of the targets lie beyond the atoms, which reach from low=0 to high=0.5" in (
        caplog.text
    )
    assert "from -1 to 2 here" in caplog.text and "widen low and high" in caplog.text
    wide = filled(corridor, returns="categorical", low=-1.0, high=2.0, atoms=11)
    caplog.clear()
    assert wide.batch_metrics(batch)["beyond_atoms"] == 0.0 and caplog.text == ""
    assert "beyond_atoms" not in filled(corridor).batch_metrics(batch)
