"""`LegalPicks`: which sequences of picks without replacement may be chosen.

The support of `PointerPicks` as a value with a name: it checks sequences, says what is
wrong with one, and counts them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints

from maskrl.errors import MaskShapeError
from maskrl.kernels.reference import LOG_ZERO


class LegalPicks(constraints.Constraint):  # type: ignore[misc, unused-ignore]
    """Sequences `[..., picks]` of different candidates, and END from some pick on.

    Args:
        entity_mask: bool `[*batch, E]`, the candidates.
        ends: What END is called in each row: int64 `[*batch]`.
        picks: Length of a sequence.
        min_picks: END is not allowed before so many, unless no candidate is left.
        can_end: Whether ending is a choice; else it comes when no candidate is left.
        idle: bool `[*batch]`, True = no decision is taken in the row.
        idle_action: What every pick of an idle row is, int64 `[*batch]`.
        mask_name: How messages call the mask.
    """

    is_discrete = True
    event_dim = 1

    def __init__(
        self,
        entity_mask: Tensor,
        ends: Tensor,
        *,
        picks: int,
        min_picks: int,
        can_end: bool,
        idle: Tensor,
        idle_action: Tensor,
        mask_name: str,
    ) -> None:
        self.entity_mask = entity_mask
        self.ends = ends
        self.picks = picks
        self.min_picks = min_picks
        self.can_end = can_end
        self.idle = idle
        self.idle_action = idle_action
        self.mask_name = mask_name
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each sequence `[..., picks]`, whether it may be chosen.

        Raises:
            MaskShapeError: The sequences have another length.
        """
        if value.shape[-1:] != (self.picks,):
            raise MaskShapeError(
                f"LegalPicks.check: value has shape {tuple(value.shape)}; expected the last "
                f"dimension to be {self.picks}, the number of picks."
            )
        ends = self.ends.unsqueeze(-1)
        inside = (value >= 0) & (value <= ends) & (value % 1 == 0)
        picks = torch.where(inside, value, ends).to(torch.int64)
        is_end = picks == ends
        mask = self.entity_mask
        mask = mask.expand(*picks.shape[:-1], mask.shape[-1])
        allowed = mask.gather(-1, torch.where(is_end, 0, picks)) | is_end
        resumed = is_end[..., :-1] & ~is_end[..., 1:]
        same = (picks.unsqueeze(-1) == picks.unsqueeze(-2)).tril(-1).any(-1) & ~is_end
        least = self.lengths()[0]
        enough = (~is_end).sum(-1) >= least
        legal = (inside & allowed & ~same).all(-1) & ~resumed.any(-1) & enough
        sends_idle = (value == self.idle_action.unsqueeze(-1)).all(-1)
        return torch.where(self.idle, sends_idle, legal)

    def lengths(self) -> tuple[Tensor, Tensor]:
        """Fewest and most candidates that a legal sequence picks, int64 `[*batch]` each."""
        most = self.entity_mask.sum(-1).clamp(max=self.picks)
        return (most.clamp(max=self.min_picks) if self.can_end else most), most

    def log_count(self) -> Tensor:
        """Log of the number of legal sequences, float64 `[*batch]`; 0 where there is one.

        m different ones of n candidates in order are n (n - 1) ... (n - m + 1) sequences.
        """
        least, most = self.lengths()
        already = torch.arange(self.picks, device=self.entity_mask.device)
        remaining = (self.entity_mask.sum(-1, keepdim=True) - already).clamp(min=1)
        longer = remaining.to(torch.float64).log().cumsum(-1)
        of_length = torch.cat([torch.zeros_like(longer[..., :1]), longer], -1)
        length = torch.arange(self.picks + 1, device=self.entity_mask.device)
        legal = (length >= least.unsqueeze(-1)) & (length <= most.unsqueeze(-1))
        return torch.where(legal, of_length, LOG_ZERO).logsumexp(-1)

    def explain(self, value: Tensor, index: tuple[int, ...]) -> tuple[int, str]:
        """Say which pick of an illegal sequence is the first wrong one, and why.

        Args:
            value: Integers `[..., picks]`.
            index: Of a sequence in it that is not legal.
        """
        row, end = value[index].tolist(), int(self.ends.expand(value.shape[:-1])[index])
        mask = self.entity_mask.expand(*value.shape[:-1], self.entity_mask.shape[-1])[index]
        least = int(self.lengths()[0].expand(value.shape[:-1])[index])
        if bool(self.idle.expand(value.shape[:-1])[index]):
            idle = int(self.idle_action.expand(value.shape[:-1])[index])
            wrong = next(t for t, pick in enumerate(row) if pick != idle)
            return wrong, f"disallowed by {self.mask_name}, which leaves the row idle ({idle})"
        for t, pick in enumerate(row):
            if not 0 <= pick <= end:
                return t, f"outside 0..{end}, where {end} is END"
            if pick == end:
                if t < least:
                    return t, f"END; {least} picks are due before it"
                continue
            if end in row[:t]:
                return t, f"after END ({end}), which only END may follow"
            if not bool(mask[pick]):
                return t, f"disallowed by {self.mask_name}"
            if pick in row[:t]:
                return t, f"picked before, as pick {row.index(pick)}"
        return 0, "legal"

    def __repr__(self) -> str:
        """Name the rule."""
        end = f"END after {self.min_picks} or more" if self.can_end else "no END choice"
        return f"LegalPicks({self.picks} of {self.entity_mask.shape[-1]}, {end})"
