"""What the scripted team of pandas is worth of the exact optimum, on 5 x 5 with two pandas.

Every layout is planned three times by backward induction: the best joint play, the script's,
and uniformly random allowed play, each an expected return without discount. The score of
the script lies between random play (0) and the best (1). About a second a layout.
"""

from __future__ import annotations

import argparse

import numpy as np

from maskrl.envs.games.layout_seeds import split_seeds
from maskrl.envs.games.pandas.planner import plan
from maskrl.envs.games.pandas.settings import PandasSettings


def worth(layouts: int) -> tuple[float, float, float]:
    """Mean values of the best, the script's and random play over the first test layouts."""
    settings = PandasSettings(pandas=2)
    values = [
        [plan(settings, int(seed), play) for play in ("best", "script", "random")]
        for seed in split_seeds("test", layouts)
    ]
    best, script, chance = np.mean(values, axis=0)
    return float(best), float(script), float(chance)


def main() -> None:
    """Plan and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layouts", type=int, default=40, help="of the test split")
    options = parser.parse_args()
    best, script, chance = worth(options.layouts)
    print(f"best {best:.3f}, script {script:.3f}, random {chance:.3f}")
    print(f"the script is worth {(script - chance) / (best - chance):.3f} of the best")


if __name__ == "__main__":
    main()
