"""What an audit found, what it looked at, and what it could not look at.

A `Report` is plain data: findings with their codes, measures, and the two lists that keep
an audit honest: what was checked and on how much, and what was not and why. It passes if
nothing is an error, or with `strict` neither an error nor a doubt.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from maskrl.audit.codes import CODES, SEVERITIES, Severity
from maskrl.errors import ConfigError, MaskrlError


class AuditError(MaskrlError, AssertionError):
    """An audit failed; the message is the whole report."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault, where it was first seen and how often.

    Attributes:
        code: A name from `CODES`.
        message: What is the case, in one sentence.
        where: The place of the first: episode, step, row; empty where it is everywhere.
        action: The action it is about, if it is about one.
        expected: What should have been.
        got: What was.
        count: How often it was seen.
        indices: Of a tensor, the first offending indices.
    """

    code: str
    message: str
    where: str = ""
    action: Any = None
    expected: str = ""
    got: str = ""
    count: int = 1
    indices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ConfigError(f"Finding: there is no code {self.code!r}; see maskrl.audit.CODES")

    @property
    def severity(self) -> Severity:
        """How bad it is: "error", "doubt" or "note"."""
        return CODES[self.code].severity

    @property
    def advice(self) -> str:
        """What to do about it."""
        return CODES[self.code].advice

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        both = f" Expected {self.expected}, got {self.got}." if self.expected else ""
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.severity} {self.code}: {place}{self.message}{both}{times}"


@dataclass(frozen=True)
class Check:
    """Something that an audit looked at, or could not.

    Attributes:
        name: What it is about.
        detail: On how much it was checked, or why it was not.
    """

    name: str
    detail: str


@dataclass
class Report:
    """The result of an audit.

    Attributes:
        target: What was audited.
        kind: What sort of thing it is: "env".
        findings: What was found; errors first.
        checked: What was looked at.
        unchecked: What could not be looked at, with the reason.
        measures: Numbers and words about the target, by name.
        strict: Whether doubts fail too.
        ignored: Codes that were left out on request.
    """

    target: str
    kind: str = "env"
    findings: list[Finding] = field(default_factory=list)
    checked: list[Check] = field(default_factory=list)
    unchecked: list[Check] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)
    strict: bool = False
    ignored: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was found that counts as a failure."""
        return not self.failures

    @property
    def failures(self) -> list[Finding]:
        """Errors, and with `strict` doubts."""
        failing = ("error", "doubt") if self.strict else ("error",)
        return [finding for finding in self.findings if finding.severity in failing]

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of all findings, each once, errors first."""
        return tuple(dict.fromkeys(finding.code for finding in self.findings))

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    def find(self, code: str) -> Finding | None:
        """The finding with this code, or None."""
        return next((finding for finding in self.findings if finding.code == code), None)

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings, but for ignored ones; one more of the same code and text is counted."""
        for finding in findings:
            if finding.code not in self.ignored:
                self.findings.append(finding)
        self.findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))

    def raise_on_failure(self) -> None:
        """Raise unless it passed.

        Raises:
            AuditError: With the whole report as its message.
        """
        if not self.passed:
            raise AuditError(str(self))

    def verdict(self) -> str:
        """Passed or failed, and on what."""
        counts = Counter(finding.severity for finding in self.findings)
        said = ", ".join(
            f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
            for severity in SEVERITIES
            if counts[severity]
        )
        strictly = " (strict: doubts count)" if self.strict and counts["doubt"] else ""
        return f"{'passed' if self.passed else 'FAILED'}: {said or 'nothing found'}{strictly}"

    def to_json(self) -> dict[str, Any]:
        """Everything, as data that JSON can hold."""
        findings = [
            {**asdict(finding), "severity": finding.severity, "advice": finding.advice}
            for finding in self.findings
        ]
        data = {
            "target": self.target,
            "kind": self.kind,
            "passed": self.passed,
            "strict": self.strict,
            "findings": findings,
            "checked": [asdict(check) for check in self.checked],
            "unchecked": [asdict(check) for check in self.unchecked],
            "measures": self.measures,
            "ignored": list(self.ignored),
        }
        loaded: dict[str, Any] = json.loads(json.dumps(data, default=_plain))
        return loaded

    def __str__(self) -> str:
        lines = [f"audit of {self.target}: {self.verdict()}"]
        for finding in self.findings:
            lines += [f"  {finding}", f"      {finding.advice}"]
        lines += [f"  not checked: {check.name}: {check.detail}" for check in self.unchecked]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    """A numpy number or array as JSON has it; anything else as text."""
    to_list = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else str(value)
