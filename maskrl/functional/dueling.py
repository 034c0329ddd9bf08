"""The two streams of a dueling network joined, under a mask.

Value and advantages are told apart by a convention: the advantages of a state have mean 0.
Under a mask it is the mean over what is allowed.
"""

from __future__ import annotations

from torch import Tensor

from maskrl.functional.reduce import masked_mean
from maskrl.masks.check import check_mask
from maskrl.masks.packed import PackedMask


def dueling_values(
    value: Tensor,
    advantages: Tensor,
    action_mask: Tensor | PackedMask | None,
    *,
    atoms: bool = False,
) -> Tensor:
    """Q-values from a state's value and advantages, whose mean over what is allowed is 0.

    `q(a) = v + adv(a) - mean of adv over the allowed actions`. A mean over all actions would move
    the values of allowed ones by advantages that no experience touches.

    Args:
        value: `[..., 1]`, with atoms `[..., 1, N]`.
        advantages: `[..., A]`, with atoms `[..., A, N]`.
        action_mask: bool `[..., A]`, True = allowed; None says that everything is.
        atoms: Whether the last dimension counts atoms or quantiles.

    Returns:
        As `advantages`. Entries that are not allowed carry their advantage too: mask them where
        they are chosen from.

    Raises:
        MaskDtypeError, MaskShapeError: The mask is not boolean or does not fit.

    Empty rows:
        The mean is 0.

    Reference:
        Wang et al., Dueling Network Architectures, equation 9, https://arxiv.org/abs/1511.06581
    """
    dim = -2 if atoms else -1
    if action_mask is None:
        return value + advantages - advantages.mean(dim, keepdim=True)
    shape = advantages.shape[:-1] if atoms else advantages.shape
    keep = check_mask("dueling_values", "action_mask", action_mask, shape, data="advantages")
    keep = keep.unsqueeze(-1) if atoms else keep
    mean = masked_mean(advantages, keep.expand(advantages.shape), dim)
    return value + advantages - mean.unsqueeze(dim)
