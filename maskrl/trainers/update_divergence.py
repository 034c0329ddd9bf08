"""How far an update moved the policy, measured in the three ways that comparisons speak of.

Exact divergences are sums over all actions, of the distribution that acts and of the
network without its masks; the published estimate is the mean difference of the scores of
the actions taken, over rows and heads, by whichever distribution the regime scores with.
Under masks the first two differ by what the network thinks of actions that nobody can take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from maskrl.buffers.minibatch import Minibatch
from maskrl.distributions import ConditionalCategorical
from maskrl.objectives import mean_over
from maskrl.policies.action_heads import ActionHeads

DIVERGENCES = ("kl_masked", "kl_unmasked", "kl_published")
"""Names of what is measured, in nats."""


@torch.no_grad()
def update_divergences(
    heads: ActionHeads,
    before: Tensor,
    after: Tensor,
    batch: Minibatch,
    *,
    masked_scores: bool,
    idle_action: int = 0,
) -> dict[str, float]:
    """Means over the rows of a minibatch in which something was decided.

    Args:
        heads: Of the actions.
        before: Logits `[M, n_logits]` before the update.
        after: The same after it.
        batch: The rows: observations with masks, actions and which are kept.
        masked_scores: Whether the regime scores under the mask; the naive one does not.
        idle_action: What is noted where nothing could be decided.

    Returns:
        By the names of `DIVERGENCES`: exact KL(old, new) under the masks; exact KL(old, new)
        without them; and the mean over rows and heads of `log old(a) - log new(a)`, which may be
        negative. NaN where a tree has too many prefixes for an exact one, and of candidates
        without their mask, which are not defined.

    Reference:
        Huang and Ontañón, A Closer Look at Invalid Action Masking in Policy Gradient
        Algorithms, section 5, https://arxiv.org/abs/2006.14171, whose code takes that mean.
    """
    masked: Mapping[str, Tensor] = batch.observations
    seen = {"kl_masked": masked}
    if heads.kind != "candidates":
        seen["kl_unmasked"] = heads.opened(masked)
    scored = "kl_masked" if masked_scores else "kl_unmasked"
    found = dict.fromkeys(DIVERGENCES, math.nan)
    for name, obs in seen.items():
        old, new = (
            heads.distribution(
                logits, obs, empty="idle", idle_action=idle_action, validate_args=False
            )
            for logits in (before, after)
        )
        if not isinstance(old, ConditionalCategorical) or old.is_enumerable:
            found[name] = float(mean_over(kl_divergence(old, new), batch.keep))
        if name == scored:
            scores = [d.log_prob(batch.actions, reduce="none") for d in (old, new)]
            fall = (scores[0] - scores[1]).reshape(len(before), -1).mean(-1)
            found["kl_published"] = float(mean_over(fall, batch.keep))
    return found
