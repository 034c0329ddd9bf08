"""Which attention path is faster for how many entities, forward and backward.

    python examples/attention_paths.py [--repeats 20] [--threads 1]

All three compute the same numbers: torch's fused kernel; two matrix products with keys before
queries, for float64 and for maps; and the compiled kernel that serves float32 on the CPU, which
reads what a projection wrote as it lies. Their runs take turns; the table gives medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from maskrl.functional.attention import _fused, _keys_first
from maskrl.kernels.scenes.definition import Sight
from maskrl.kernels.scenes.function import scene_attention

QUERIES = 12288
HEADS, WIDTH = 4, 16


def milliseconds(run: Callable[[], None]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def compare(entities: int, repeats: int) -> list[float]:
    """Medians of the fused, the keys-first and the compiled path for scenes of that size."""
    torch.manual_seed(0)
    scenes = max(1, QUERIES // entities)
    rows = torch.randn(scenes, entities, 3 * HEADS * WIDTH, requires_grad=True)
    permission = torch.rand(scenes, entities, entities) < 0.7
    permission |= torch.eye(entities, dtype=torch.bool)
    upstream = torch.randn(scenes, entities, HEADS * WIDTH)

    def split_first(path: Callable[..., Tensor | tuple[Tensor, Tensor]]) -> Tensor:
        query, key, value = rows.unflatten(-1, (3, HEADS, WIDTH)).permute(2, 0, 3, 1, 4)
        out = path(query, key, value, permission.unsqueeze(1), None, None)
        mixed = out[0] if isinstance(out, tuple) else out
        return mixed.transpose(1, 2).flatten(-2)

    def compiled() -> Tensor:
        return scene_attention(rows, None, Sight(HEADS, WIDTH**-0.5, permission))

    paths = (lambda: split_first(_fused), lambda: split_first(_keys_first), compiled)
    torch.testing.assert_close(paths[0](), paths[1](), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(paths[0](), paths[2](), rtol=1e-4, atol=1e-5)

    def run(path: Callable[[], Tensor]) -> None:
        torch.autograd.grad(path(), rows, upstream)

    for path in paths:
        run(path)
    times = [[milliseconds(lambda p=path: run(p)) for path in paths] for _ in range(repeats)]
    return [float(median) for median in np.median(times, axis=0)]


def main() -> None:
    """Print one line per size of scene."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=20, help="interleaved runs of each path")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch and the kernels")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("entities   fused ms   keys-first ms   compiled ms   fused / compiled")
    for entities in (4, 8, 12, 16, 24, 32, 64, 128):
        fused, keys_first, compiled = compare(entities, options.repeats)
        print(
            f"{entities:8d} {fused:10.1f} {keys_first:15.1f} {compiled:13.1f} "
            f"{fused / compiled:18.2f}"
        )


if __name__ == "__main__":
    main()
