"""Which backend computes masked categorical rows: `set_backend("auto" | "reference" | "fused")`.

"auto" takes the first registered backend that serves the tensors at hand and
falls back to the reference. A backend joins with `register_backend`; nothing
else in the package needs to know its name. Tracing always takes the reference.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from maskrl.errors import ConfigError
from maskrl.kernels.contract import Backend, Rows
from maskrl.kernels.fused.backend import FusedBackend
from maskrl.kernels.reference import ReferenceBackend
from maskrl.masks.packed import PackedMask

_REFERENCE = ReferenceBackend()
_backends: dict[str, Backend] = {"reference": _REFERENCE, "fused": FusedBackend()}
_choice = "auto"

_PROXY = torch._C._TorchDispatchModeKey.PROXY
_FAKE = torch._C._TorchDispatchModeKey.FAKE


def set_backend(name: str) -> None:
    """Choose what computes masked rows from now on, in the whole process.

    Args:
        name: "auto" (the fastest backend that serves a call), "reference" (plain
            torch), or the name of another registered backend such as "fused".

    Raises:
        ConfigError: No backend of this name is part of this version.
    """
    global _choice
    if name != "auto" and name not in _backends:
        known = ", ".join(repr(known) for known in ("auto", *_backends))
        raise ConfigError(
            f"set_backend: name is {name!r}, but no such backend is registered; expected one of "
            f"{known}."
        )
    _choice = name


def get_backend() -> str:
    """Return the name last given to `set_backend`, "auto" at first."""
    return _choice


def register_backend(backend: Backend) -> None:
    """Add a backend; under "auto" the one registered last is asked first.

    Raises:
        ConfigError: Its name is taken.
    """
    if backend.name == "auto" or backend.name in _backends:
        raise ConfigError(f"register_backend: the name {backend.name!r} is taken.")
    _backends[backend.name] = backend


def choose_backend(
    logits: Tensor, action_mask: Tensor | PackedMask | None, *, traced: bool | None = None
) -> Backend:
    """Return the backend that serves these tensors under the current choice.

    Args:
        logits: Floating point `[..., A]`.
        action_mask: That goes with them.
        traced: What `is_traced` said, if it was asked already.
    """
    if _choice == "reference" or (is_traced(logits) if traced is None else traced):
        return _REFERENCE
    if _choice != "auto":
        named = _backends[_choice]
        return named if named.serves(logits, action_mask) else _REFERENCE
    for backend in reversed(_backends.values()):
        if backend.serves(logits, action_mask):
            return backend
    return _REFERENCE


def prepare_rows(
    logits: Tensor,
    action_mask: Tensor | PackedMask | None,
    *,
    look: bool,
    sizes: tuple[int, ...] | None = None,
    traced: bool | None = None,
) -> Rows:
    """Prepare masked categorical rows with the backend that serves them."""
    backend = choose_backend(logits, action_mask, traced=traced)
    if isinstance(action_mask, PackedMask) and not _reads_bits(backend):
        action_mask = action_mask.unpack()
    return backend.rows(logits, action_mask, look=look, sizes=sizes)


def reads_bits(logits: Tensor) -> bool:
    """Whether the rows of these logits are computed from packed masks as they are."""
    return _reads_bits(choose_backend(logits, None))


def _reads_bits(backend: Backend) -> bool:
    return getattr(backend, "reads_bits", False)


def is_traced(logits: Tensor) -> bool:
    """Whether values cannot steer control flow: compile, export, make_fx, fake tensors, vmap."""
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return True
    if torch._C._get_dispatch_mode(_PROXY) is not None:
        return True
    if torch._C._get_dispatch_mode(_FAKE) is not None:
        return True  # what is made now has no memory, whatever it is made of
    if torch._C._functorch.peek_interpreter_stack() is not None and _inside_vmap():
        return True
    return type(logits) is not Tensor and isinstance(logits, FakeTensor)


def _inside_vmap() -> bool:
    """Whether any level of the functorch stack is a vmap."""
    stack = torch._C._functorch.get_interpreter_stack() or []
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in stack)
