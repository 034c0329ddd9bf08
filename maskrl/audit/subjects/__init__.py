"""Environments of all kinds as an audit sees them: rows that decide, and their masks as they came.

One file per kind: one agent (`single`), a vector environment (`vector`), a team in one
observation (`team`), PettingZoo's parallel agents (`parallel`) and those that take turns
(`turns`). `moments` has the words that they share, `readings` how a raw mask is read.
"""
