"""Which attention path is faster for how many entities, forward and backward, one thread.

    python examples/attention_paths.py [--repeats 20]

Both paths compute the same numbers: torch's fused kernel, and the one with keys
before queries that serves small scenes on the CPU. Runs of the two alternate;
the table gives medians and their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from maskrl.functional.attention import _fused, _keys_first

QUERIES = 12288
HEADS, WIDTH = 4, 16


def milliseconds(run: Callable[[], None]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start)


def compare(entities: int, repeats: int) -> tuple[float, float]:
    """Medians of the fused and of the keys-first path for scenes of that many entities."""
    torch.manual_seed(0)
    shape = (max(1, QUERIES // entities), HEADS, entities, WIDTH)
    tensors = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    opened = torch.rand(shape[0], 1, 1, entities) < 0.7
    opened[..., 0] = True
    upstream = torch.randn(shape)

    def run(path: Callable[..., Tensor | tuple[Tensor, Tensor]]) -> None:
        out = path(*tensors, opened, None, None)
        (out[0] if isinstance(out, tuple) else out).backward(upstream)

    times = np.array(
        [[milliseconds(lambda p=p: run(p)) for p in (_fused, _keys_first)] for _ in range(repeats)]
    )
    fused, keys_first = np.median(times, axis=0)
    return float(fused), float(keys_first)


def main() -> None:
    """Print one line per size of scene."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=20, help="interleaved runs of each path")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("entities   fused ms   keys-first ms   fused / keys-first")
    for entities in (4, 8, 12, 16, 24, 32, 64):
        fused, keys_first = compare(entities, options.repeats)
        print(f"{entities:8d} {fused:10.1f} {keys_first:15.1f} {fused / keys_first:20.2f}")


if __name__ == "__main__":
    main()
