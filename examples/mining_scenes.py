"""Two moments of mining as a picture: a far mine with a base of its own, on both small maps.

    python examples/mining_scenes.py [docs/images/mining.png]

Plays the script that empties every mine, and draws it as `docs/mining.md` shows it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import maskrl
from maskrl.envs.adapters.microrts.drawing import draw_scene
from maskrl.envs.games.mining.script import best_orders
from maskrl.figures.png import png_bytes

GAP = 24
HEIGHT = 440


def scene(board: str, steps: int) -> np.ndarray:
    """The frame after so many orders of the script: uint8 `[h, w, 3]`."""
    env = maskrl.make(f"mining-{board}")
    env.reset()
    for order in best_orders(board)[:steps]:
        env.step(order)
    size = env.get_wrapper_attr("settings").size
    return draw_scene(env.get_wrapper_attr("scene")(), cell=HEIGHT // size)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, default=Path("docs/images/mining.png"))
    path = parser.parse_args().path
    frames = [scene("4x4", 71), scene("10x10", 89)]
    height = max(frame.shape[0] for frame in frames)
    picture = np.full((height, sum(f.shape[1] for f in frames) + GAP, 3), 255, np.uint8)
    left = 0
    for frame in frames:
        below = (0, height - frame.shape[0])  # the strip goes on, so that both are as high
        picture[:, left : left + frame.shape[1]] = np.pad(frame, (below, (0, 0), (0, 0)), "edge")
        left += frame.shape[1] + GAP
    path.write_bytes(png_bytes(picture))
    print(path, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
