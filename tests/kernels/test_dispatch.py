"""Choosing a backend: by name, automatically, and never while tracing."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from maskrl.errors import ConfigError
from maskrl.functional import masked_softmax
from maskrl.kernels import dispatch, get_backend, register_backend, set_backend
from maskrl.kernels.dispatch import choose_backend, is_traced
from maskrl.kernels.reference import ReferenceBackend

LOGITS = torch.randn(3, 4)
MASK = torch.ones(3, 4, dtype=torch.bool)


class WideRows(ReferenceBackend):
    """A backend that serves rows of at least four actions."""

    name = "wide"

    def serves(self, logits, action_mask):
        return logits.shape[-1] >= 4


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(dispatch, "_backends", dict(dispatch._backends))
    monkeypatch.setattr(dispatch, "_choice", "auto")


@pytest.mark.parametrize(
    ("name", "takes"), [("auto", "fused"), ("fused", "fused"), ("reference", "reference")]
)
def test_the_names_of_this_version(name, takes):
    set_backend(name)
    assert get_backend() == name
    assert choose_backend(LOGITS, MASK).name == takes
    assert choose_backend(LOGITS.to("meta"), None).name == "reference"


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="no such backend is registered"):
        set_backend("cuda")


def test_auto_takes_the_newest_backend_that_serves():
    register_backend(WideRows())
    assert choose_backend(LOGITS, MASK).name == "wide"
    assert choose_backend(LOGITS[:, :2], None).name == "fused"
    set_backend("wide")
    assert choose_backend(LOGITS[:, :2], None).name == "reference"
    set_backend("reference")
    assert choose_backend(LOGITS, MASK).name == "reference"


def test_a_name_is_registered_once():
    register_backend(WideRows())
    with pytest.raises(ConfigError, match="'wide' is taken"):
        register_backend(WideRows())


def test_a_backend_serves_the_public_functions(monkeypatch):
    calls = []
    rows = WideRows.rows
    monkeypatch.setattr(
        WideRows, "rows", lambda *a, **k: calls.append(1) or rows(*a, **k), raising=True
    )
    register_backend(WideRows())
    masked_softmax(LOGITS, MASK)
    masked_softmax(LOGITS[:, :2], MASK[:, :2])
    assert len(calls) == 1


def test_tracing_takes_the_reference():
    register_backend(WideRows())
    names = []
    torch.vmap(lambda x: (names.append(choose_backend(x, None).name), x)[1])(LOGITS)
    assert names == ["reference"]


def test_what_counts_as_tracing():
    seen = []

    def look(x):
        seen.append(is_traced(x))
        return x * 2

    look(LOGITS)
    torch.func.grad(lambda x: look(x).sum())(LOGITS)
    assert seen == [False, False]
    torch.vmap(look)(LOGITS)
    torch.func.jacrev(look)(LOGITS)  # backward runs under vmap, forward does not
    torch.func.grad(lambda x: torch.vmap(look)(x).sum())(LOGITS)
    make_fx(look)(LOGITS)
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(LOGITS)
        look(fake)
    assert seen[2:] == [True, False, True, True, True]
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert is_traced(LOGITS)
    assert is_traced(fake)
    flags = torch.compile(lambda x: x + is_traced(x), backend="aot_eager", fullgraph=True)(LOGITS)
    assert torch.equal(flags, LOGITS + 1)
