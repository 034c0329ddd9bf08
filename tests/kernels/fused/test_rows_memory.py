"""Memory while learning and acting on 4 x 1,837,080 actions: the gradient, and a little per row.

Each measurement runs in a process of its own that reads the peak of resident memory before and
after a call (Linux only), with the cyclic collector off so that nothing waits for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GRADIENT = 4 * 4 * 1_837_080
# Freed blocks are given back at once, so that one call cannot hide in another's.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
PEAK = Path("/proc/self/clear_refs")
# A mask more would be 7.3 MB, as bits 0.9 MB; results of rows, stacks and pages take less.
LITTLE = 512 << 10

CHILD = """
import ctypes, gc, sys
from pathlib import Path
import torch
from maskrl import MaskedCategorical, MaskedMultiCategorical, pack_mask
task, packed, threads, validate = sys.argv[1:]
torch.set_num_threads(int(threads))
shape = (4, 1_837_080)
leaf = torch.randn(shape).requires_grad_(task != "acting")
mask = torch.rand(shape) < 0.3
mask[:, 0] = True
if packed == "packed":
    mask = pack_mask(mask)
actions = torch.zeros(4, dtype=torch.int64)
settings = dict(validate_args=validate == "validated")

def acting():
    d = MaskedCategorical(leaf, mask, **settings)
    return d.log_prob(d.sample())

def learning():
    leaf.grad = None
    d = MaskedCategorical(leaf, mask, **settings)
    (d.log_prob(actions) + 0.01 * d.entropy()).sum().backward()
    return leaf.grad

def heads():
    leaf.grad = None
    d = MaskedMultiCategorical(leaf, (7, 1_837_073), None, **settings)
    (d.log_prob(torch.zeros(4, 2, dtype=torch.int64)) + d.entropy()).sum().backward()
    return leaf.grad

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

call = {"acting": acting, "learning": learning, "heads": heads}[task]
call()
gc.collect()
gc.disable()
for _ in range(4):
    leaf.grad = None
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    result = call()
    print(resident("VmHWM") - before)
    del result
"""


def peaks(*words):
    environment = {**os.environ, **GIVE_BACK}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *words],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return [int(word) for word in done.stdout.split()]


pytestmark = pytest.mark.skipif(
    not os.access(PEAK, os.W_OK), reason="the system does not tell peaks of memory"
)


WORDS = [
    ("bool", "1", "validated"),
    pytest.param(("bool", "2", "validated"), marks=pytest.mark.slow),
    pytest.param(("packed", "1", "validated"), marks=pytest.mark.slow),
    pytest.param(("packed", "2", "unvalidated"), marks=pytest.mark.slow),
    pytest.param(("bool", "2", "unvalidated"), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: "-".join(words))
def test_learning_takes_the_gradient_and_little_else(words):
    for peak in peaks("learning", *words):
        assert abs(peak - GRADIENT) <= LITTLE


@pytest.mark.parametrize("packed", [pytest.param("bool", marks=pytest.mark.slow), "packed"])
def test_acting_takes_little(packed):
    assert max(peaks("acting", packed, "2", "validated")) <= LITTLE


@pytest.mark.slow
def test_heads_take_the_gradient_and_little_else():
    assert max(peaks("heads", "bool", "2", "validated")) <= GRADIENT + LITTLE
