"""What an actor-critic asks of the parts of it that are somebody's own.

An encoder must say how wide its features are, and a subclass must not answer by methods that
would be passed by: either would be found out late, or not at all.
"""

from __future__ import annotations

from torch import nn

from maskrl.errors import ConfigError

_STATELESS = ("logits", "value", "logits_and_value", "distribution", "forward")


def require_own_methods(kind: type[nn.Module], base: type[nn.Module]) -> None:
    """Refuse a memory where a subclass answers by methods that know no state.

    Args:
        kind: The subclass.
        base: Whose methods it may have replaced.

    Raises:
        ConfigError: It has replaced one of those, and not `act` and `unroll` as well.
    """

    def is_own(name: str) -> bool:
        return getattr(kind, name) is not getattr(base, name)

    own = [name for name in _STATELESS if is_own(name)]
    if own and not (is_own("act") and is_own("unroll")):
        raise ConfigError(
            f"network.memory: {kind.__name__} has a method {own[0]} of its own, which a policy "
            "with memory is not asked by. Give it act and unroll of its own too"
        )


def width_of(encoder: nn.Module) -> int:
    """How many features a module gives.

    Raises:
        ConfigError: It does not say.
    """
    width = getattr(encoder, "out_features", None)
    if not isinstance(width, int):
        raise ConfigError(
            f"encoder: {type(encoder).__name__} has no attribute out_features (a whole number: "
            "the width of what it returns)"
        )
    return width
