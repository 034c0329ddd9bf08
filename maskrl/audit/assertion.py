"""One line for the tests of whoever writes an environment: its masks are right.

`assert_env_masks` is an assertion for pytest or any other: it audits and, where something
is found that counts, fails with the whole report as its message.
"""

from __future__ import annotations

from typing import Any

from maskrl.audit.env_audit import env as audit_env
from maskrl.audit.report import Report


def assert_env_masks(env: Any, *, strict: bool = True, **settings: Any) -> Report:
    """Audit an environment, and fail unless its masks are right.

    Args:
        env: As `maskrl.audit.env` takes it: an id, an environment, or what makes one.
        strict: Whether doubts fail too; they do unless told otherwise.
        **settings: Of `maskrl.audit.env`: `steps`, `seed`, `empty`, `ignore`, ..., arguments of
            the environment and settings of its masks.

    Returns:
        The report, for further assertions.

    Raises:
        AuditError: An `AssertionError` whose message is the report.
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    report = audit_env(env, strict=strict, **settings)
    report.raise_on_failure()
    return report
