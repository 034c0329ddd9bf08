"""Every exception that maskrl raises on purpose, in two families.

`MaskError` and its children are about masks and the numbers under them.
`UsageError` and its children are about what a user asked for: an environment,
a configuration, a run folder. The command line prints either as one message,
without a traceback. A message states the operation, the argument, what was
expected, what came, the first offending index and the likely fix.
"""

from __future__ import annotations


class MaskrlError(Exception):
    """Base of all errors that maskrl raises on purpose."""


class MaskError(MaskrlError, ValueError):
    """A mask, or the numbers that it selects, cannot be used as given."""


class MaskShapeError(MaskError):
    """A mask's shape does not fit the tensor that it is for."""


class MaskDtypeError(MaskError, TypeError):
    """A mask is not boolean. `as_mask` converts explicitly."""


class NoAllowedActionError(MaskError):
    """A row of a mask allows nothing and `empty="raise"` is in force."""


class DisallowedActionError(MaskError):
    """An action that its mask disallows was scored or executed."""


class NonFiniteLogitsError(MaskError):
    """An allowed logit is NaN or +inf, or a row has no finite allowed one."""


class UsageError(MaskrlError):
    """What was asked for cannot be done as asked."""


class UnknownEnvError(UsageError):
    """No environment is known under this id."""


class NoMaskError(UsageError):
    """An environment offers none of action, entity and agent mask."""


class NoReferenceError(UsageError):
    """An environment's planner cannot plan it, so there is no score."""


class ConfigError(UsageError, ValueError):
    """A setting has a value that it cannot have, or settings contradict."""


class RunFolderError(UsageError, OSError):
    """A run folder exists already, is missing, is damaged or cannot be written."""


class RatioDriftError(MaskrlError, RuntimeError):
    """Actions are scored under another mask or state than they were sampled under."""


class WorkerError(MaskrlError, RuntimeError):
    """A process that steps environments died."""
