"""Which calls the compiled kernels serve; the others go to the reference."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from maskrl.kernels.dispatch import choose_backend
from maskrl.kernels.fused.backend import FusedBackend

LOGITS = torch.randn(3, 4)


def test_real_tensors_on_the_cpu_are_served():
    serves = FusedBackend().serves
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        assert serves(LOGITS.to(dtype), None)
    assert serves(torch.nn.Parameter(LOGITS), None)
    assert not serves(LOGITS[:0], None)
    assert not serves(LOGITS.to("meta"), None)


def test_transforms_and_forward_mode_take_the_reference():
    seen = []

    def look(x):
        seen.append(choose_backend(x, None).name)
        return x.sum()

    torch.func.grad(look)(LOGITS)
    torch.func.vmap(look)(LOGITS)
    with torch.autograd.forward_ad.dual_level():
        look(LOGITS)
    assert seen == ["reference"] * 3
    look(LOGITS)
    assert seen[3] == "fused"


@pytest.mark.parametrize("what", ["maskrl", "maskrl.kernels", "maskrl.distributions"])
def test_importing_loads_no_numba(what):
    code = f"import sys, {what}; {what}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
