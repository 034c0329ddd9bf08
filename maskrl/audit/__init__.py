"""Audits: whether the masks of an environment are right.

`audit.env` steps an environment, tries what its masks forbid and allow, and reports with
codes, places and advice. `assert_env_masks` is for tests. Needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskrl.audit.assertion import assert_env_masks as assert_env_masks
    from maskrl.audit.codes import CODES as CODES
    from maskrl.audit.env_audit import env as env
    from maskrl.audit.report import AuditError as AuditError
    from maskrl.audit.report import Finding as Finding
    from maskrl.audit.report import Report as Report

_INDEX = {
    "env": "maskrl.audit.env_audit",
    "assert_env_masks": "maskrl.audit.assertion",
    "CODES": "maskrl.audit.codes",
    "AuditError": "maskrl.audit.report",
    "Finding": "maskrl.audit.report",
    "Report": "maskrl.audit.report",
}

__all__ = list(_INDEX)


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name in _INDEX:
        value = getattr(importlib.import_module(_INDEX[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'maskrl.audit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
