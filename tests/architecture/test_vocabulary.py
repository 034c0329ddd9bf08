"""One vocabulary and one way to mask: no fill value, no bare `mask`, no `done`.

A masked entry is selected away, never pushed towards minus infinity by a large
finite number: with a fill value, a disallowed action whose logit is NaN or 1e30
would still reach the result. And a parameter that is only called `mask` leaves
open what it masks and what True means.
"""

from __future__ import annotations

import ast
import math

HUGE = 1e6
UNCLEAR = {
    "mask": "say which: action_mask, entity_mask, visibility, agent_mask, alive, valid, keep",
    "blocked": "True means allowed at every public door",
    "done": "say which: terminated or truncated",
    "dones": "say which: terminated or truncated",
}
FILLS = {"masked_fill", "masked_fill_"}
OTHER_PEOPLES_WAY = "maskrl/bench/contenders/article.py"
"""Fills on purpose: it is what maskrl is measured against."""


def fill_values(source):
    """Complaints about numbers that stand in for minus infinity."""
    complaints = []

    def complain(node, what):
        complaints.append(f"{source.path}:{node.lineno}: {what}; select with `where` instead")

    for node in ast.walk(source.tree):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = getattr(node.operand, "value", None)
            if isinstance(value, int | float) and HUGE <= value < math.inf:
                complain(node, f"the fill value {ast.unparse(node)}")
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            if node.attr == "min" and "finfo(" in owner:
                complain(node, "finfo(...).min as a fill value")
            if node.attr in FILLS:
                complain(node, f"{owner}.{node.attr} writes a fill value")
    return complaints


def unclear_names(source):
    """Complaints about public parameters and fields whose name hides the polarity."""
    complaints = []

    def visit(node, public):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                dunder = child.name.startswith("__") and child.name.endswith("__")
                visible = public and (dunder or not child.name.startswith("_"))
                if visible and not isinstance(child, ast.ClassDef):
                    a = child.args
                    for arg in [*a.posonlyargs, *a.args, *a.kwonlyargs]:
                        complain(child.lineno, child.name, arg.arg)
                if visible and isinstance(child, ast.ClassDef):
                    for field in child.body:
                        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                            complain(field.lineno, child.name, field.target.id)
                    visit(child, True)

    def complain(line, owner, name):
        if name in UNCLEAR:
            complaints.append(f"{source.path}:{line}: {owner}({name}): {UNCLEAR[name]}")

    visit(source.tree, True)
    return complaints


def all_of(rule, sources):
    return [complaint for source in sources for complaint in rule(source)]


def test_nothing_is_masked_with_a_fill_value(package_sources, make_source):
    fillers = {complaint.split(":")[0] for complaint in all_of(fill_values, package_sources)}
    assert fillers <= {OTHER_PEOPLES_WAY}
    for bad in (
        "x = torch.where(m, logits, -1e8)",
        "x = logits + (1 - m) * -1e9",
        "FILL = torch.finfo(torch.float32).min",
        "x = logits.masked_fill(~m, 0)",
        "x = np.where(m, q, -1000000)",
    ):
        assert len(fill_values(make_source("maskrl/a.py", bad))) == 1, bad
    good = 'x = torch.where(m, logits, -math.inf)\ny = float("-inf")\nz = -87.3\n'
    assert fill_values(make_source("maskrl/a.py", good)) == []


def test_public_names_say_what_they_mask_and_how(package_sources, make_source):
    assert all_of(unclear_names, package_sources) == []
    for bad in (
        "def f(x, mask): ...",
        "def f(x, *, blocked=None): ...",
        "class A:\n    def step(self, done): ...",
        "class A:\n    def __init__(self, mask): ...",
        "class A:\n    mask: int = 0",
    ):
        assert len(unclear_names(make_source("maskrl/a.py", bad))) == 1, bad
    for good in (
        "def _f(mask): ...",
        "class _A:\n    def f(self, mask): ...",
        "def f(action_mask, terminated): ...",
    ):
        assert unclear_names(make_source("maskrl/a.py", good)) == [], good
