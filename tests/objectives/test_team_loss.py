"""PPO's losses of teams: against a slow loop over agents, and what nobody may change."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.distributions import GridwiseCategorical
from maskrl.errors import ConfigError
from maskrl.objectives import TeamActed, TeamLossSettings, team_loss
from maskrl.objectives.team_loss import TEAM_STATISTICS

RATIOS, WEIGHTS = ("joint", "agent", "head"), ("agent_step", "env_step")
OFFSETS = torch.tensor([0, 3, 3, 4, 8])  # the second of four steps has nobody
NVEC = (4, 3)


def case(*, heads=NVEC, idle=(), per_agent=False, joint=False, seed=0, spread=0.5):
    """Logits, values and what was done, in float64; agents in `idle` may do nothing."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows, steps, actions = int(OFFSETS[-1]), len(OFFSETS) - 1, sum(heads)
    mask = torch.rand(rows, actions, generator=generator) < 0.6
    start = 0
    for size in heads:
        mask[:, start] = True
        start += size
    for agent in idle:
        mask[agent] = False
    logits = torch.where(mask, numbers(rows, actions), math.nan)
    several = len(heads) > 1

    def build(logits):
        return GridwiseCategorical.from_packed(
            logits, OFFSETS, mask, nvec=heads if several else None, empty="idle"
        )

    chosen = build(logits).sample(generator=generator)
    old = build(torch.where(mask, logits + spread * numbers(rows, actions), 0.0))
    old = old.log_prob(chosen, reduce="none").reshape(rows, -1)
    count = rows if per_agent else steps
    keep = torch.ones(rows, dtype=torch.bool)
    keep[list(idle)] = False
    acted = TeamActed(
        row=torch.repeat_interleave(torch.arange(steps), OFFSETS.diff()),
        offsets=OFFSETS,
        actions=chosen,
        log_probs=old,
        keep=keep if idle else None,
        advantages=numbers(steps if joint else rows),
        values=numbers(count),
        returns=numbers(count),
    )
    return build, logits.requires_grad_(), numbers(count).requires_grad_(), acted


def slowly(build, logits, values, acted, settings):
    """The definition, agent by agent and head by head."""
    distribution = build(logits)
    scores = distribution.log_prob(acted.actions, reduce="none").reshape(acted.log_probs.shape)
    entropies = distribution.entropy("agent")
    keep = [True] * len(scores) if acted.keep is None else acted.keep.tolist()
    clip = settings.clip

    def surrogate(ratio, advantage):
        return min(ratio * advantage, min(max(ratio, 1 - clip), 1 + clip) * advantage)

    policy = entropy = torch.zeros((), dtype=torch.float64)
    outside = {name: [] for name in RATIOS}
    decisions = deciding = 0
    for step in range(len(acted.offsets) - 1):
        agents = range(int(acted.offsets[step]), int(acted.offsets[step + 1]))
        agents = [agent for agent in agents if keep[agent]]
        if not agents:
            continue
        deciding += 1
        decisions += len(agents)
        joint = torch.ones((), dtype=torch.float64)
        for agent in agents:
            own = torch.ones((), dtype=torch.float64)
            for head in range(scores.shape[1]):
                ratio = (scores[agent, head] - acted.log_probs[agent, head]).exp()
                own = own * ratio
                if acted.log_probs[agent, head] != 0:
                    outside["head"].append(abs(ratio.item() - 1) > clip)
                if settings.ratio == "head":
                    policy = policy - surrogate(ratio, acted.advantages[agent])
            outside["agent"].append(abs(own.item() - 1) > clip)
            if settings.ratio == "agent":
                policy = policy - surrogate(own, acted.advantages[agent])
            joint = joint * own
            entropy = entropy + entropies[agent]
        outside["joint"].append(abs(joint.item() - 1) > clip)
        if settings.ratio == "joint":
            policy = policy - surrogate(joint, acted.advantages[step])
    divisor = decisions if settings.weight == "agent_step" else deciding
    policy, entropy = policy / max(divisor, 1), entropy / max(divisor, 1)
    value = 0.5 * (values - acted.returns).square().mean()
    loss = policy - settings.entropy_coef * entropy + settings.value_coef * value
    shares = {name: sum(found) / len(found) for name, found in outside.items()}
    return loss, {"policy_loss": policy, "value_loss": value, "entropy": entropy}, shares


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("idle", [(), (1, 3)], ids=["all decide", "idle"])
@pytest.mark.parametrize("heads", [(5,), NVEC], ids=["one head", "heads"])
def test_equals_a_loop_over_agents(heads, idle, ratio, weight):
    build, logits, values, acted = case(
        heads=heads, idle=idle, joint=ratio == "joint", per_agent=ratio == "agent"
    )
    settings = TeamLossSettings(0.2, 0.03, 0.5, ratio=ratio, weight=weight)
    got = team_loss(build(logits), values, acted, settings)
    expected, parts, shares = slowly(build, logits, values, acted, settings)
    torch.testing.assert_close(got.loss, expected, rtol=1e-10, atol=1e-12)
    gradients = torch.autograd.grad(got.loss, [logits, values])
    for ours, theirs in zip(
        gradients, torch.autograd.grad(expected, [logits, values]), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    named = dict(zip(TEAM_STATISTICS, got.statistics.tolist(), strict=True))
    for name, part in parts.items():
        assert named[name] == pytest.approx(part.item(), rel=1e-9), name
    for name, share in shares.items():
        assert named[f"clip_fraction_{name}"] == pytest.approx(share), name
    assert named["clip_fraction"] == named[f"clip_fraction_{ratio}"]
    assert shares["joint"] > 0 and shares["agent"] < 1


@pytest.mark.parametrize("weight", WEIGHTS)
def test_before_anything_is_clipped_the_gradients_are_the_same(weight):
    gradients = []
    for ratio in RATIOS:
        build, logits, values, acted = case(joint=ratio == "joint", spread=0.0)
        step_advantages = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
        advantages = step_advantages if ratio == "joint" else step_advantages[acted.row]
        acted = TeamActed(
            acted.row,
            acted.offsets,
            acted.actions,
            acted.log_probs,
            None,
            advantages,
            acted.values,
            acted.returns,
        )
        settings = TeamLossSettings(0.2, 0.0, 0.5, ratio=ratio, weight=weight)
        loss = team_loss(build(logits), values, acted, settings).loss
        gradients.append(torch.autograd.grad(loss, logits)[0])
    assert gradients[0].abs().max() > 0.01
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2])


def test_what_both_weights_divide_by():
    build, logits, values, acted = case()
    losses = {}
    for weight in WEIGHTS:
        settings = TeamLossSettings(0.2, 0.0, 0.0, weight=weight)
        losses[weight] = team_loss(build(logits), values, acted, settings).loss.item()
    # 8 decisions in the 3 steps of 4 in which somebody acts
    assert losses["env_step"] == pytest.approx(losses["agent_step"] * 8 / 3)


@pytest.mark.parametrize("ratio", RATIOS)
def test_who_may_do_nothing_changes_nothing(ratio):
    """An idle agent with NaN logits, advantages and log-probabilities of before."""
    build, logits, values, acted = case(idle=(1, 3), joint=ratio == "joint")
    settings = TeamLossSettings(0.2, 0.03, 0.5, ratio=ratio)
    clean = team_loss(build(logits), values, acted, settings)
    clean_gradient = torch.autograd.grad(clean.loss, logits)[0]
    advantages = acted.advantages.clone()
    if ratio == "joint":
        advantages[[1, 2]] = math.nan  # nobody in step 1; in step 2 agent 3 alone, who idles
    else:
        advantages[[1, 3]] = math.nan
    old = acted.log_probs.clone()
    old[[1, 3]] = math.nan
    odd = TeamActed(
        acted.row,
        acted.offsets,
        acted.actions,
        old,
        acted.keep,
        advantages,
        acted.values,
        acted.returns,
    )
    got = team_loss(build(logits), values, odd, settings)
    gradient = torch.autograd.grad(got.loss, logits)[0]
    assert torch.equal(gradient, clean_gradient)
    assert torch.equal(got.statistics, clean.statistics)
    assert not gradient[[1, 3]].any() and gradient[[0, 2]].any()


def test_nobody_in_any_step():
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    nobody = TeamActed(
        row=torch.zeros(0, dtype=torch.int64),
        offsets=torch.zeros(3, dtype=torch.int64),
        actions=torch.zeros(0, dtype=torch.int64),
        log_probs=torch.zeros(0, 1),
        keep=None,
        advantages=torch.zeros(0),
        values=torch.zeros(2),
        returns=torch.tensor([0.0, 4.0]),
    )
    for distribution in (
        None,
        GridwiseCategorical.from_packed(torch.zeros(0, 3), nobody.offsets),
    ):
        loss = team_loss(distribution, values, nobody, TeamLossSettings(0.2, 0.03, 0.5))
        named = dict(zip(TEAM_STATISTICS, loss.statistics.tolist(), strict=True))
        assert named.pop("value_loss") == pytest.approx(0.5 * (1 + 4) / 2)
        assert set(named.values()) == {0.0}
        (gradient,) = torch.autograd.grad(loss.loss, values)
        assert gradient.tolist() == [0.25, -0.5]
    own = values[:0]  # a value of each agent, and there is none
    nothing = team_loss(
        None,
        own,
        TeamActed(
            *[getattr(nobody, n) for n in ("row", "offsets", "actions", "log_probs")],
            None,
            nobody.advantages,
            own.detach(),
            own.detach(),
        ),
        TeamLossSettings(0.2, 0.03, 0.5),
    )
    assert nothing.loss.item() == 0.0 and torch.isfinite(nothing.statistics).all()


def test_an_estimate_takes_the_place_of_the_entropy():
    build, logits, values, acted = case()
    estimate = torch.arange(8.0, dtype=torch.float64)
    settings = TeamLossSettings(0.2, 1.0, 0.0)
    loss = team_loss(build(logits), values, acted, settings, entropy=estimate)
    assert loss.statistics[TEAM_STATISTICS.index("entropy")] == pytest.approx(28 / 8)


def test_values_may_be_clipped():
    build, logits, values, acted = case()
    free = team_loss(build(logits), values, acted, TeamLossSettings(0.2, 0.0, 1.0))
    tight = team_loss(build(logits), values, acted, TeamLossSettings(0.2, 0.0, 1.0, 1e-3))
    at = TEAM_STATISTICS.index("value_loss")
    near = acted.values + (values - acted.values).clamp(-1e-3, 1e-3)
    worse = torch.maximum((values - acted.returns) ** 2, (near - acted.returns) ** 2)
    assert tight.statistics[at].item() == pytest.approx(0.5 * worse.mean().item())
    assert tight.statistics[at] > free.statistics[at]


def test_settings_that_do_not_exist():
    with pytest.raises(ConfigError, match="ratio is 'team'; expected one of .'joint', 'agent'"):
        TeamLossSettings(0.2, 0.0, 0.5, ratio="team")
    with pytest.raises(ConfigError, match="weight is 'agent'"):
        TeamLossSettings(0.2, 0.0, 0.5, weight="agent")
