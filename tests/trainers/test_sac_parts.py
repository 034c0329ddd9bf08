"""SAC's parts: schedules, what is saved by name, and when the critics' copy moves."""

from __future__ import annotations

import pytest
import torch

from maskrl.networks.encoders import NetworkConfig
from maskrl.trainers.sac import DiscreteSAC, SACConfig

SMALL = SACConfig(
    num_envs=4, replay_size=64, learning_starts=8, batch_size=8, threads=1,
    network=NetworkConfig(hidden=(8,)),
)  # fmt: skip


@pytest.fixture
def parts(corridor):
    def build(**changes):
        built = DiscreteSAC(corridor(4), SMALL.replace(**changes)).parts
        built.collector.collect(4, built.act)
        return built

    return build


def test_the_entropy_share_falls_and_stays(parts):
    falls = parts(entropy_share=0.6, entropy_share_final=0.1, entropy_fraction=0.5)
    stays = parts(entropy_share=0.6, entropy_share_final=None)
    for fraction, expected in ((0.0, 0.6), (0.25, 0.35), (0.5, 0.1), (1.0, 0.1)):
        falls.fraction = stays.fraction = fraction
        assert falls.schedule_metrics() == {"entropy_share_target": pytest.approx(expected)}
        assert stays.schedule_metrics() == {"entropy_share_target": pytest.approx(0.6)}


def test_the_copy_moves_when_it_is_due(parts):
    built = parts(target_every=3, target_rate=1.0)
    for taken in range(1, 7):
        before = {k: x.clone() for k, x in built.target.state_dict().items()}
        built.turn(1e-2)
        moved = any(not torch.equal(x, before[k]) for k, x in built.target.state_dict().items())
        assert moved == (taken % 3 == 0)


def test_what_is_saved_beside_the_policy(parts):
    built = parts()
    built.turn(1e-2)
    tensors, state = built.training_state(lean=True)
    names = {name.split(".")[0] for name in tensors}
    assert names == {
        "optimizer_critics",
        "optimizer_policy",
        "optimizer_temperature",
        "target",
        "temperature",
    }
    assert state == {"gradient_steps": 1, "replay": False}


def test_actions_are_drawn_from_the_policy(parts):
    built = parts()
    with torch.no_grad():
        built.policy.policy_head.linear.bias[::2] += 30.0
    obs = built.collector.tensors()
    allowed = obs["action_mask"]
    drawn = torch.stack([built.act(obs) for _ in range(50)])
    assert allowed.gather(-1, drawn.T).all()
    even = allowed & (torch.arange(10) % 2 == 0)
    rows = even.any(-1)
    assert rows.any() and (drawn[:, rows] % 2 == 0).all()


def test_a_prioritised_memory_learns_of_the_errors(parts):
    built = parts(priority_exponent=0.6)
    before = built.replay._tree.total
    built.turn(1e-2)
    assert built.replay._tree.total != before


def test_the_pass_that_is_timed_reaches_all_networks(parts):
    built = parts()
    built.outputs(built.policy, built.collector.tensors()).sum().backward()
    assert all(p.grad is not None for p in built.policy.parameters())


def test_what_the_policy_would_do_without_its_mask(corridor):
    config = SMALL.replace(empty="idle")
    built = DiscreteSAC(corridor(4, cooldown=True), config, seed=0).parts
    built.collector.collect(15, built.random_actions)
    with torch.no_grad():
        built.policy.policy_head.linear.bias[9] += 2.0
    batch = built.sample()
    allowed = batch.observations["action_mask"].unpack()
    probabilities = built.policy.logits(batch.observations).detach().softmax(-1)
    masses = [
        1.0 - float(row[mask].sum())
        for row, mask in zip(probabilities, allowed, strict=True)
        if mask.any()
    ]
    assert 0 < len(masses) < len(allowed)  # states that allow nothing are left out
    found = built.batch_metrics(batch)
    assert found == {"disallowed_mass": pytest.approx(sum(masses) / len(masses), abs=1e-6)}
