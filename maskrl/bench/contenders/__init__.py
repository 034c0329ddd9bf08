"""Who takes part: maskrl, other libraries, plain torch and the founding article's way.

Each file says how one of them is called by its own users. A library is imported only
when the comparison begins; one that is not installed is reported as missing.
"""

from __future__ import annotations

from maskrl.bench.contenders.article import ARTICLE
from maskrl.bench.contenders.contract import CLASS, OURS, PLAIN, RECIPE, UNCHECKED, Contender, Way
from maskrl.bench.contenders.from_sb3_contrib import SB3_CONTRIB, SB3_CONTRIB_UNCHECKED
from maskrl.bench.contenders.from_tianshou import TIANSHOU
from maskrl.bench.contenders.from_torchrl import TORCHRL
from maskrl.bench.contenders.ours import MASKRL, MASKRL_BITS
from maskrl.bench.contenders.plain_torch import TORCH, TORCH_INVERSE_CDF, TORCH_PADDED_HEADS

CONTENDERS: tuple[Contender, ...] = (
    MASKRL,
    MASKRL_BITS,
    SB3_CONTRIB,
    SB3_CONTRIB_UNCHECKED,
    TORCHRL,
    ARTICLE,
    TORCH,
    TORCH_INVERSE_CDF,
    TORCH_PADDED_HEADS,
    TIANSHOU,
)

__all__ = ["CLASS", "CONTENDERS", "OURS", "PLAIN", "RECIPE", "UNCHECKED", "Contender", "Way"]
