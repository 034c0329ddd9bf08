"""Doors for environments that nobody here wrote: each brings foreign masks into the contract."""
