"""What regimes are called on a page: plain words, and what each of them means.

On the command line a regime says how it is made, "penalty:0.1:native". Among others on a page
"penalty 0.1" is enough where all penalties are of one kind, and a setting of the environment is
its name; where only settings differ, the regime that all share is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from maskrl.runs.comparison import MASKED, Comparison, Variant

NAIVE = "naive"
_NATIVE = ":native"
_PENALTY = "penalty:"
_ENV = "env."


@dataclass(frozen=True)
class Meaning:
    """One way to tell what is impossible, in words.

    Attributes:
        names: Of the variants that share it, with the place of each in the comparison.
        text: What it means, without a full stop.
    """

    names: tuple[tuple[str, int], ...]
    text: str


def with_plain_names(comparison: Comparison) -> Comparison:
    """The comparison with variants that are called in plain words; nothing else changes.

    Where two variants on one environment would get the same name all keep theirs.
    """
    variants = comparison.variants
    regimes = {variant.regime for variant in variants}
    penalties = {regime for regime in regimes if _charge(regime) is not None}
    mixed = len({regime.endswith(_NATIVE) for regime in penalties}) > 1
    alone = len(regimes) == 1 and all(variant.varied for variant in variants)
    named = tuple(
        replace(
            variant,
            called="" if alone else _called(variant.regime, mixed),
            varied={key.removeprefix(_ENV): value for key, value in variant.varied.items()},
        )
        for variant in variants
    )
    told = [(variant.env, variant.name) for variant in named]
    if len(set(told)) < len(told):  # "none" beside "penalty:0"
        return comparison
    return replace(comparison, variants=named)


def meanings(variants: tuple[Variant, ...]) -> list[Meaning]:
    """What the regimes of one environment's variants mean, each kind of regime once.

    Args:
        variants: Of one environment, in the order of their colours.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for place, variant in enumerate(variants):
        found.setdefault(_meaning(variant.regime), []).append((variant.name, place))
    return [Meaning(tuple(names), text) for text, names in found.items()]


def _called(regime: str, mixed: bool) -> str:
    """A regime in plain words; `mixed` penalties say whether the environment answers.

    >>> _called("penalty:0.10:native", False), _called("penalty:0:native", True)
    ('penalty 0.10', 'no mask, native')
    """
    charge = _charge(regime)
    if charge is None:
        return regime
    word = f"penalty {regime.split(':')[1]}" if charge else "no mask"
    return f"{word}, native" if mixed and regime.endswith(_NATIVE) else word


def _charge(regime: str) -> float | None:
    """What a disallowed action costs, where no mask is told; None where one is.

    >>> _charge("none"), _charge("penalty:0.1"), _charge("masked")
    (0.0, 0.1, None)
    """
    if regime == "none":
        return 0.0
    if not regime.startswith(_PENALTY):
        return None
    try:
        return float(regime.removeprefix(_PENALTY).removesuffix(_NATIVE))
    except ValueError:
        return None


def _meaning(regime: str) -> str:
    if regime == MASKED:
        return "acts and learns under the mask"
    if regime == NAIVE:
        return "acts under the mask and learns as if there were none"
    charge = _charge(regime)
    if charge is None:
        return f"the regime {regime}"
    cost = "costs that much" if charge else "costs nothing"
    answer = "the environment answers it" if regime.endswith(_NATIVE) else "is withheld"
    joined = f"{cost}, and {answer}" if regime.endswith(_NATIVE) else f"{answer} and {cost}"
    return f"is told no mask; a disallowed action {joined}"
