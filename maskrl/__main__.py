"""Makes `python -m maskrl` the same as `maskrl`."""

from __future__ import annotations

import sys

from maskrl.cli import main

if __name__ == "__main__":
    sys.exit(main())
