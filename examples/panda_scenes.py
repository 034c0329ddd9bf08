"""The two fixed scenes of the panda as a picture: everybody in sight, and behind trees.

    python examples/panda_scenes.py [docs/images/panda-scenes.png]

Draws `panda-open` and `panda-trees` side by side, as `docs/tutorial.md` shows them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import maskrl
from maskrl.figures.png import png_bytes

GAP = 24


def scene(env_id: str) -> np.ndarray:
    """The first frame of a fixed scene: uint8 `[h, w, 3]`."""
    env = maskrl.make(env_id, features="xyt", render_mode="rgb_array")
    env.reset(seed=0)
    return np.asarray(env.render())


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, default=Path("docs/images/panda-scenes.png"))
    path = parser.parse_args().path
    left, right = scene("panda-open"), scene("panda-trees")
    gap = np.full((left.shape[0], GAP, 3), 255, np.uint8)
    path.write_bytes(png_bytes(np.concatenate([left, gap, right], axis=1)))
    print(path, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
