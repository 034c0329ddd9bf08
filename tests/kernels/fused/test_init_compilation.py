"""What is compiled, and when: one form of each kernel, whatever it is given, and once per machine.

Nothing here is timed. That nothing is compiled again for a new shape is read from the number of
signatures, and that a second process compiles nothing from what Numba counts of its cache.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys

import torch
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from torch.distributions import kl_divergence

import maskrl.kernels.fused
from maskrl import MaskedCategorical, MaskedMultiCategorical, pack_mask

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SHAPES = [(1, 6), (64, 6), (3, 7, 8), (40, 78), (5, 300), (2, 5000), (33, 129), (9,)]
ALWAYS_USED = {"dense32", "dense64", "dense_gradient32", "gradient32", "gradient64", "modes32"}
ALWAYS_USED |= {"modes64", "draws32", "draws64", "divergence32", "divergence64"}


def kernels():
    """Every function that Python calls compiled: kept on disk, releasing the interpreter."""
    found = {}
    for info in pkgutil.iter_modules(maskrl.kernels.fused.__path__):
        module = importlib.import_module(f"maskrl.kernels.fused.{info.name}")
        for name, thing in vars(module).items():
            if isinstance(thing, Dispatcher) and not isinstance(thing._cache, NullCache):
                found[name] = thing
    return found


def use_everything(shape, dtype, mask):
    leaf = torch.randn(shape).to(dtype).requires_grad_()
    sizes = (1, shape[-1] - 3, 2)
    makes = [MaskedCategorical(leaf, mask)]
    if mask is None:
        makes.append(MaskedMultiCategorical(leaf, sizes))
    for d in makes:
        with torch.no_grad():
            actions = d.sample()
            d.sample((3,))
            d.mode.sum()
        total = d.log_prob(actions).sum() + d.entropy().sum() + d.probs.sum()
        (total + kl_divergence(d, d.expand(d.batch_shape)).sum()).backward()


def test_one_form_of_each_kernel_serves_all():
    for shape in SHAPES:
        allowed = torch.ones(shape, dtype=torch.bool)
        masks = [None, allowed, allowed[:1], pack_mask(allowed)]
        for dtype in DTYPES:
            for mask in masks if len(shape) > 1 else masks[:2]:
                use_everything(shape, dtype, mask)
    compiled = {name: len(kernel.signatures) for name, kernel in kernels().items()}
    assert {name for name, count in compiled.items() if count > 1} == set()
    assert {name for name, count in compiled.items() if count == 1} >= ALWAYS_USED


def test_kernels_release_the_interpreter_and_are_kept():
    found = kernels()
    assert len(found) >= 14
    assert [name for name, kernel in found.items() if not kernel.targetoptions.get("nogil")] == []


SECOND_PROCESS = """
import json, sys
import torch
from maskrl import masked_softmax
from maskrl.kernels.fused.rows import FusedRows
from maskrl.kernels.fused.choices import modes32
for shape in ((3, 4), (50, 700)):
    FusedRows(torch.randn(shape), None, None).argmax()
hits, misses = modes32.stats.cache_hits, modes32.stats.cache_misses
print(json.dumps([sum(hits.values()), sum(misses.values())]))
"""


def hits_and_misses(cache):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_a_second_process_reads_what_the_first_compiled(tmp_path):
    assert hits_and_misses(tmp_path) == [0, 1]
    assert hits_and_misses(tmp_path) == [1, 0]
