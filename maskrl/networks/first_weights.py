"""What networks begin with, where they are not to begin with orthogonal weights.

Every layer here is made with orthogonal weights, those of a policy's last layer small. Some
published agents were not; `begin_with` gives a network that was built the weights that PyTorch
would have given it.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

FirstWeights = Literal["orthogonal", "torch"]


def begin_with(
    weights: FirstWeights, network: nn.Module, *, besides: tuple[nn.Module | None, ...] = ()
) -> None:
    """Draw the weights of fully connected layers and convolutions anew, in place.

    Args:
        weights: "orthogonal" leaves all as it was made. "torch" draws weights and biases from
            plus or minus the root of one over the number of inputs, by torch's global generator.
        network: Where to look for layers. Attention, embeddings and memory keep what they have.
        besides: Parts of it that were made elsewhere, and are left alone.

    Reference:
        `torch.nn.Linear.reset_parameters` and `torch.nn.Conv2d.reset_parameters`.
    """
    if weights == "orthogonal":
        return
    others = {id(part) for module in besides if module is not None for part in module.modules()}
    for part in network.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)) and id(part) not in others:
            part.reset_parameters()
