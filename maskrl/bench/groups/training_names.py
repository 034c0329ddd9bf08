"""What the rows of the training table are called, where tables and goals look for them.

Apart from the code that trains, so that reading results needs neither trainers nor
other libraries.
"""

from __future__ import annotations

MASKABLE_PPO = "sb3-contrib, MaskablePPO"
BARE_LOOP = "bare torch loop"
ENV_ALONE = "environment alone"
CEILING = "ceiling of the two"
NETWORK_ALONE = "maskrl's networks alone"
NATIVE = "native"
PYTHON = "python"
