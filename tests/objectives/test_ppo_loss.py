"""PPO's losses in one: compiled kernels against the definition, on ordinary and hostile rows."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from maskrl.distributions import MaskedBernoulli, MaskedCategorical, MaskedMultiCategorical
from maskrl.errors import ConfigError, DisallowedActionError, MaskShapeError
from maskrl.kernels.dispatch import set_backend
from maskrl.masks.packed import pack_mask
from maskrl.objectives.ppo_loss import STATISTICS, Acted, LossSettings, plain, ppo_loss

NVEC = (3, 1, 5)


def rows_of(kind, m, seed, *, idle=0.0):
    """Logits, mask and a function that makes the distribution of both."""
    generator = torch.Generator().manual_seed(seed)
    wide = {"categorical": 7, "heads": sum(NVEC), "bits": 4}[kind]
    logits = 3 * torch.randn(m, wide, generator=generator)
    shape = (m, wide, 2) if kind == "bits" else (m, wide)
    mask = torch.rand(shape, generator=generator) < 0.6
    splits = mask.split(NVEC, -1) if kind == "heads" else [mask]
    for part in splits:
        part[..., -1] |= ~part.any(-1)
        part[torch.rand(part.shape[:-1], generator=generator) < idle] = False

    def make(of, packed=False, **settings):
        settings = {"empty": "idle", "validate_args": False, **settings}
        given = pack_mask(mask.flatten(1) if kind == "bits" else mask) if packed else mask
        if kind == "heads":
            return MaskedMultiCategorical(of, NVEC, given, **settings)
        return (MaskedBernoulli if kind == "bits" else MaskedCategorical)(of, given, **settings)

    return logits, make


def acted_of(logits, make, seed):
    """Actions of a policy nearby, and everything else at random."""
    generator = torch.Generator().manual_seed(seed)
    m = len(logits)
    before = make(logits + 0.3 * torch.randn(logits.shape, generator=generator))
    actions = before.sample(generator=generator)
    log_probs = before.log_prob(actions, reduce="none").reshape(m, -1)
    idle = before.allowed_counts().reshape(m, -1).eq(0).all(-1)
    numbers = torch.randn(4, m, generator=generator)
    keep = ~idle if bool(idle.any()) else None
    return Acted(actions, log_probs, *numbers[:3], keep), numbers[3]


def compare(make, logits, values, acted, settings, exact=1e-5, **kind):
    """Statistics, log-probabilities and gradients by the kernels and by float64 torch."""
    fused_logits, fused_values = logits.clone().requires_grad_(), values.clone().requires_grad_()
    found = ppo_loss(make(fused_logits, **kind), fused_values, acted, settings)
    assert found.statistics.dtype == torch.float64, "the definition was taken"
    found.backward()
    wide = Acted(
        acted.actions,
        *(x.double() for x in (acted.log_probs, acted.values, acted.advantages, acted.returns)),
        acted.keep,
    )
    leaf, own = logits.double().requires_grad_(), values.double().requires_grad_()
    definition = plain(make(leaf), own, wide, settings)
    definition.backward()
    close = {"rtol": exact, "atol": exact}
    torch.testing.assert_close(found.statistics, definition.statistics, **close)
    torch.testing.assert_close(found.log_probs.double(), definition.log_probs, **close)
    torch.testing.assert_close(fused_logits.grad.double(), leaf.grad, **close)
    torch.testing.assert_close(fused_values.grad.double(), own.grad, **close)
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ratio", ["joint", "head"])
@pytest.mark.parametrize("kind", ["categorical", "heads", "bits"])
@pytest.mark.parametrize("m", [1, 2, 33, 300])
def test_kernels_give_the_definition(kind, ratio, m, packed):
    for seed, idle in enumerate((0.0, 0.3)):
        logits, make = rows_of(kind, m, seed, idle=idle)
        acted, values = acted_of(logits, make, seed)
        settings = LossSettings(0.2, 0.03, 0.7, 0.4 if seed else None, ratio)
        compare(make, logits, values, acted, settings, packed=packed)


def test_a_row_by_hand():
    """One row of two equal logits: p = 1/2, once as probable as before."""
    acted = Acted(
        torch.tensor([0]),
        torch.tensor([[0.25]]).log(),
        torch.tensor([1.0]),
        torch.tensor([2.0]),
        torch.tensor([3.0]),
        None,
    )
    logits = torch.zeros(1, 2, requires_grad=True)
    values = torch.tensor([2.5], requires_grad=True)
    loss = ppo_loss(MaskedCategorical(logits), values, acted, LossSettings(0.2, 0.1, 0.5))
    # Ratio 2, clipped to 1.2: loss -2.4. Value loss 0.5 * 0.5^2. Divergence 2 - 1 - log 2.
    expected = [-2.4, 0.125, 0.693147, 0.306853, 1.0]
    assert loss.statistics.tolist() == pytest.approx(expected, abs=1e-6)
    loss.backward()
    # Clipped, so the policy has no gradient; nor has the entropy, at its largest.
    assert logits.grad.abs().max() < 1e-8
    assert values.grad.tolist() == [-0.25]


@pytest.mark.parametrize("ratio", ["joint", "head"])
def test_advantages_of_zero_and_ratios_of_one_are_ties(ratio):
    logits, make = rows_of("heads", 40, 5)
    acted, values = acted_of(logits, make, 5)
    same = make(logits).log_prob(acted.actions, reduce="none")
    advantages = torch.where(torch.arange(40) % 2 == 0, 0.0, acted.advantages)
    acted = dataclasses.replace(
        acted, log_probs=same, advantages=advantages, values=values, returns=values
    )
    compare(make, logits, values, acted, LossSettings(0.2, 0.0, 0.5, 0.1, ratio))


def test_every_head_is_clipped_for_itself():
    """One head far outside of its trust region, another inside, one without a choice: by hand."""
    logits, make = rows_of("heads", 30, 6)
    acted, values = acted_of(logits, make, 6)
    old = make(logits).log_prob(acted.actions, reduce="none")
    old[:, 0] -= math.log(1.5)
    old[:, 2] -= math.log(1.1)
    a = acted.advantages
    first = torch.where(a > 0, 1.2 * a, 1.5 * a)
    settings = LossSettings(0.2, 0.0, 0.5, None, "head")
    found = compare(make, logits, values, dataclasses.replace(acted, log_probs=old), settings)
    loss, *_, share = found.statistics.tolist()
    assert loss == pytest.approx(-(first + a + 1.1 * a).mean().item(), rel=1e-4)
    chose = old != 0
    assert share == pytest.approx((chose[:, 0].sum() / chose.sum()).item())


def test_no_clipping_room_is_a_trust_region_of_one_point():
    logits, make = rows_of("categorical", 50, 3)
    acted, values = acted_of(logits, make, 3)
    compare(make, logits, values, acted, LossSettings(0.0, 0.01, 0.5, 0.0))


def test_choices_that_became_impossible_have_no_gradient():
    """-inf ratios: the surrogate is 0 or clipped, the divergence infinite, nothing is NaN."""
    logits, make = rows_of("categorical", 20, 7)
    acted, values = acted_of(logits, make, 7)
    mask = make(logits).action_mask
    free = mask.sum(-1) > 1
    fallen = logits.clone()
    fallen[free] = fallen[free].scatter(-1, acted.actions[free, None], -torch.inf)
    found = compare(make, fallen, values, acted, LossSettings(0.2, 0.01, 0.5))
    assert found.statistics[STATISTICS.index("approx_kl")] == torch.inf
    assert found.log_probs.isneginf().any()


def test_what_stands_in_rows_that_do_not_count_is_never_read():
    logits, make = rows_of("categorical", 30, 8, idle=0.4)
    acted, values = acted_of(logits, make, 8)
    assert acted.keep is not None and not acted.keep.all()
    settings = LossSettings(0.2, 0.02, 0.5)
    clean = compare(make, logits, values, acted, settings)
    for strange in (torch.nan, torch.inf, 1e30):
        spoiled = dataclasses.replace(
            acted,
            advantages=torch.where(acted.keep, acted.advantages, strange),
            log_probs=torch.where(acted.keep[:, None], acted.log_probs, strange),
        )
        leaf = torch.where(acted.keep[:, None], logits, strange).requires_grad_()
        found = ppo_loss(make(leaf), values, spoiled, settings)
        found.backward() if values.requires_grad else torch.autograd.backward(*_one(found))
        assert torch.equal(found.statistics, clean.statistics)
        assert torch.equal(leaf.grad[~acted.keep], torch.zeros_like(leaf.grad[~acted.keep]))


def _one(found):
    (pair,) = found._pairs()
    return pair


def test_nothing_kept_is_no_policy_loss():
    logits, make = rows_of("heads", 6, 9, idle=1.0)
    acted, values = acted_of(logits, make, 9)
    found = compare(make, logits, values, acted, LossSettings(0.2, 0.02, 0.5, None, "head"))
    assert found.statistics[[0, 2, 3, 4]].tolist() == [0.0, 0.0, 0.0, 0.0]


def test_logits_that_are_no_numbers_stay_noticed():
    logits, make = rows_of("categorical", 10, 10)
    acted, values = acted_of(logits, make, 10)
    logits[4, acted.actions[4]] = torch.nan
    found = ppo_loss(make(logits.requires_grad_()), values, acted, LossSettings(0.2, 0.01, 0.5))
    assert found.statistics[:1].isnan().all()


def test_actions_are_checked_where_the_distribution_checks():
    logits, make = rows_of("categorical", 10, 11)
    acted, values = acted_of(logits, make, 11)
    actions = acted.actions.clone()
    wrong = int(make(logits).action_mask[6].int().argmin())
    actions[6] = wrong
    acted = dataclasses.replace(acted, actions=actions)
    strict = make(logits.requires_grad_(), validate_args=True)
    with pytest.raises(DisallowedActionError, match=rf"action {wrong} in row \(6,\)"):
        ppo_loss(strict, values, acted, LossSettings(0.2, 0.01, 0.5))
    acted = dataclasses.replace(acted, actions=torch.full_like(actions, 7))
    with pytest.raises(DisallowedActionError, match="outside 0..6"):
        ppo_loss(make(logits), values, acted, LossSettings(0.2, 0.01, 0.5))


@pytest.mark.parametrize("how", ["reference", "double", "entropy"])
def test_everything_else_takes_the_definition(how):
    logits, make = rows_of("categorical", 12, 12)
    acted, values = acted_of(logits, make, 12)
    settings = LossSettings(0.2, 0.05, 0.5)
    expected = ppo_loss(make(logits), values, acted, settings)
    if how == "double":
        logits = logits.double()
    leaf, own = logits.requires_grad_(), values.requires_grad_()
    estimate = make(logits).entropy().detach() if how == "entropy" else None
    set_backend("reference" if how == "reference" else "auto")
    try:
        found = ppo_loss(make(leaf), own, acted, settings, entropy=estimate)
    finally:
        set_backend("auto")
    torch.testing.assert_close(found.statistics.double(), expected.statistics, rtol=1e-5, atol=1e-6)
    of_logits, of_values = found.gradients(leaf, own)
    found = ppo_loss(make(leaf), own, acted, settings, entropy=estimate)
    found.backward()
    torch.testing.assert_close(of_logits, leaf.grad)
    torch.testing.assert_close(of_values, own.grad)


def test_a_distribution_of_ones_own_scores_in_its_own_way():
    class Doubled(MaskedCategorical):
        def entropy(self, reduce="sum"):
            return 2 * super().entropy(reduce)

    logits, make = rows_of("categorical", 12, 14)
    acted, values = acted_of(logits, make, 14)
    settings = LossSettings(0.2, 0.05, 0.5)
    plain_one = ppo_loss(make(logits), values, acted, settings).statistics
    mine = Doubled(logits.requires_grad_(), make(logits).action_mask, validate_args=False)
    found = ppo_loss(mine, values, acted, settings).statistics
    assert found[2].item() == pytest.approx(2 * plain_one[2].item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["categorical", "bits"])
def test_gradients_of_logits_that_a_distribution_was_made_from(kind):
    """Those of bits are not what the kernels read, which are pairs."""
    logits, make = rows_of(kind, 25, 13)
    acted, values = acted_of(logits, make, 13)
    leaf, own = logits.requires_grad_(), values.requires_grad_()
    settings = LossSettings(0.2, 0.05, 0.5)
    ppo_loss(make(leaf), own, acted, settings).backward()
    of_logits, of_values = ppo_loss(make(leaf), own, acted, settings).gradients(leaf, own)
    torch.testing.assert_close(of_logits, leaf.grad)
    torch.testing.assert_close(of_values, own.grad)


@pytest.mark.parametrize("name", ["values", "advantages", "returns"])
def test_one_number_for_all_rows_is_not_read_as_one_for_each(name):
    logits, make = rows_of("categorical", 40, 15)
    acted, values = acted_of(logits, make, 15)
    settings = LossSettings(0.2, 0.05, 0.5, 0.1)
    one = dataclasses.replace(acted, **{name: torch.tensor([0.5])})
    each = dataclasses.replace(acted, **{name: torch.full((40,), 0.5)})
    found = ppo_loss(make(logits), values, one, settings).statistics
    expected = ppo_loss(make(logits), values, each, settings).statistics
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "keep", [torch.ones(40, dtype=torch.int64), torch.ones(40), torch.ones(40, 1).bool()]
)
def test_what_is_no_row_of_booleans_does_not_say_which_rows_count(keep):
    logits, make = rows_of("categorical", 40, 16)
    acted, values = acted_of(logits, make, 16)
    acted = dataclasses.replace(acted, keep=keep)
    with pytest.raises((RuntimeError, MaskShapeError)):
        ppo_loss(make(logits), values, acted, LossSettings(0.2, 0.05, 0.5))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_results_do_not_go_by_the_defaults_of_torch(dtype):
    """A default of two bytes would give the kernels half of the memory that they write."""
    logits, make = rows_of("heads", 200, 17)
    acted, values = acted_of(logits, make, 17)
    leaf, own = logits.clone().requires_grad_(), values.clone().requires_grad_()
    settings = LossSettings(0.2, 0.0123, 0.5)
    distribution = make(leaf)
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            found = ppo_loss(distribution, own, acted, settings)
    finally:
        torch.set_default_dtype(torch.float32)
    expected = ppo_loss(make(leaf), own, acted, settings)
    assert torch.equal(found.statistics, expected.statistics)
    assert torch.equal(found.log_probs, expected.log_probs)
    pairs = zip(found.gradients(leaf, own), expected.gradients(leaf, own), strict=True)
    assert all(a.dtype == torch.float32 and torch.equal(a, b) for a, b in pairs)


def test_what_is_computed_when_it_is_asked_for_is_asked_for_once():
    """Kernels get addresses, so a tensor of which nobody else knows must be held."""
    logits, make = rows_of("categorical", 40, 18)
    acted, values = acted_of(logits, make, 18)
    asked = []

    class Computed:
        def __getattr__(self, name):
            asked.append(name)
            given = getattr(acted, name)
            return None if given is None else given.clone()

    settings = LossSettings(0.2, 0.05, 0.5)
    found = ppo_loss(make(logits), values, Computed(), settings)
    assert sorted(asked) == sorted(set(asked))
    assert torch.equal(found.statistics, ppo_loss(make(logits), values, acted, settings).statistics)


def test_gradients_that_the_kernels_do_not_know_are_left_to_autograd():
    logits, make = rows_of("categorical", 20, 19)
    acted, values = acted_of(logits, make, 19)
    advantages = acted.advantages.clone().requires_grad_()
    acted = dataclasses.replace(acted, advantages=advantages)
    ppo_loss(make(logits), values, acted, LossSettings(0.2, 0.05, 0.5)).backward()
    ratio = (make(logits).log_prob(acted.actions) - acted.log_probs[:, 0]).exp()
    bound = torch.where(advantages > 0, ratio.clamp(max=1.2), ratio.clamp(min=0.8))
    torch.testing.assert_close(advantages.grad, -bound / 20)


def test_where_nothing_can_be_trained_torch_says_so():
    logits, make = rows_of("categorical", 20, 20)
    acted, values = acted_of(logits, make, 20)
    found = ppo_loss(make(logits), values, acted, LossSettings(0.2, 0.05, 0.5))
    assert found.statistics.dtype == torch.float64, "the definition was taken"
    with pytest.raises(RuntimeError, match="does not require grad"):
        found.backward()


def test_a_ratio_that_nobody_computes_is_refused():
    with pytest.raises(ConfigError, match="ratio is 'heads'; expected 'joint' or 'head'"):
        LossSettings(0.2, 0.05, 0.5, ratio="heads")
