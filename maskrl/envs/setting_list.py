"""The settings of an environment as a list, read from the dataclass that declares them.

A dataclass of settings explains each field in the string below it, which Python
itself does not keep. It is read from the source, so the explanation is written
once.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """One setting: its name, its default and what it means (empty where nothing is said)."""

    name: str
    default: Any
    text: str


def setting_list(declared_by: type) -> tuple[Setting, ...]:
    """Settings that a dataclass declares, in its order; those without a default are left out."""
    texts = _texts(declared_by)
    return tuple(
        Setting(field.name, field.default, texts.get(field.name, ""))
        for field in dataclasses.fields(declared_by)
        if field.default is not dataclasses.MISSING
    )


def _texts(declared_by: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(declared_by)))
    except (OSError, TypeError, SyntaxError):
        return {}  # no source at hand, as in a frozen program: names and defaults remain
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    texts = {}
    for field, below in zip(body, body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            texts[field.target.id] = inspect.cleandoc(below.value.value)
    return texts
