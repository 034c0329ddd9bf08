"""What masks cost a replay buffer: memory, and the time to draw transitions with them.

A million transitions of a game like chess (boards of 8 x 8 x 20 bytes, 4672 actions) are written
and drawn from, with masks and without. Run: python examples/replay_memory.py [--transitions N]
[--folder DIR]. The two buffers take 3.5 GB of memory, or of the disk with --folder, and the whole
half a minute.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from gymnasium import spaces

from maskrl.buffers import ReplayBuffer
from maskrl.envs.entries import mask_space

ACTIONS, ENVS, BATCH, ALLOWED, MOVES = 4672, 64, 256, 22, 80


def filled(transitions: int, *, masks: bool, folder: Path | None) -> ReplayBuffer:
    """A buffer with so many transitions of random games."""
    entries: dict[str, spaces.Space] = {"observation": spaces.Box(0, 255, (8, 8, 20), np.uint8)}
    if masks:
        entries["action_mask"] = mask_space(ACTIONS)
    space = spaces.Dict(entries)
    buffer = ReplayBuffer(space, ENVS, transitions, folder=folder)
    rng = np.random.default_rng(0)
    pools = {
        "observation": rng.integers(0, 256, (16, ENVS, 8, 8, 20)).astype(np.uint8),
        "action_mask": rng.random((16, ENVS, ACTIONS)) < ALLOWED / ACTIONS,
    }

    def observation(t: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {key: pools[key][t % 16][rows] for key in entries}

    everybody, no = np.arange(ENVS), np.zeros(ENVS, np.bool_)
    buffer.begin(observation(0, everybody))
    for t in range(buffer.rows - 1):
        over = (t + everybody) % MOVES == MOVES - 1
        buffer.add(
            rng.integers(0, ACTIONS, ENVS),
            rng.random(ENVS),
            over,
            no,
            observation(t + 1, everybody),
            final_obs=observation(t + 5, np.flatnonzero(over)),
            final_index=np.flatnonzero(over),
        )
    return buffer


def seconds_to_draw(buffer: ReplayBuffer, rng: np.random.Generator, *, repeats: int) -> list[float]:
    """How long each of some draws takes."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        buffer.sample(BATCH, rng)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Fill two buffers, and draw from both in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    buffers = {}
    for name, masks in (("without masks", False), ("with both masks", True)):
        folder = None if options.folder is None else options.folder / name.replace(" ", "-")
        start = time.perf_counter()
        buffers[name] = filled(options.transitions, masks=masks, folder=folder)
        seconds = time.perf_counter() - start
        print(f"{len(buffers[name]):,} transitions {name}: written in {seconds:.0f} s")
    bits = buffers["with both masks"].nbytes_of_masks
    dense = 4 * ACTIONS * 2 * len(buffers["with both masks"])
    print(
        f"masks take {bits / 1e9:.2f} GB; two of float32 for every transition would take "
        f"{dense / 1e9:.1f} GB, {dense / bits:.0f} times as much"
    )
    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {name: [] for name in buffers}
    for _ in range(12):  # in turns, so that what else the machine does falls on both
        for name, buffer in buffers.items():
            times[name] += seconds_to_draw(buffer, rng, repeats=50)
    medians = {name: float(np.median(t[100:])) for name, t in times.items()}
    for name, median in medians.items():
        print(f"drawing {BATCH} {name}: {1e6 * median:.0f} us")
    ratio = medians["with both masks"] / medians["without masks"]
    print(f"with both masks it takes {ratio:.2f} times as long as without")


if __name__ == "__main__":
    main()
