"""Whole numbers as people write large ones: 200000, 200_000, 200,000 or 2e5.

tyro would refuse the last two, and a wrong number deserves a message that names its
option.
"""

from __future__ import annotations

from maskrl.errors import ConfigError


def steps_from(name: str, text: str | None) -> int | None:
    """A positive whole number, or None where nothing was written.

    Args:
        name: The option, for the message.
        text: What was written.

    Raises:
        ConfigError: It is no positive whole number.

    >>> steps_from("--total-steps", "2e5")
    200000
    """
    if text is None:
        return None
    try:
        number = float(text.replace(",", "").replace("_", ""))
    except ValueError:
        number = float("nan")
    if not (1 <= number < 2**53 and number == int(number)):
        raise ConfigError(f"{name}: expected a positive whole number, got {text}")
    return int(number)
