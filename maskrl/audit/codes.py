"""Every kind of finding that an audit of an environment can make, with its severity and advice.

A code is a name that tests, `--ignore` and the documentation use. An `error` fails an
audit: learning would go wrong, or not start. A `doubt` is worth a look and may be meant;
`strict` makes it fail. A `note` is something to know. `docs/audit.md` lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "doubt", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "doubt", "note")


@dataclass(frozen=True)
class Code:
    """A kind of finding.

    Attributes:
        name: What tests and options call it.
        severity: How bad it is.
        summary: What is the case, in a few words.
        advice: What to do about it.
    """

    name: str
    severity: Severity
    summary: str
    advice: str


_ALL = (
    # is there a mask, at every moment?
    Code(
        "no-mask",
        "error",
        "no mask is found anywhere",
        "Hand it out as info['action_mask'], as an entry action_mask of a Dict observation, or "
        "by a method action_masks(); another key in info is named with mask_key.",
    ),
    Code(
        "no-action-mask",
        "note",
        "there is no action mask, only other masks or agents that come and go",
        "Nothing to do if every action is always possible.",
    ),
    Code(
        "missing-at-reset",
        "error",
        "reset gives no mask, steps do",
        "Give the mask in what reset returns too: the first action is chosen under it.",
    ),
    Code(
        "only-at-reset",
        "error",
        "reset gives a mask, steps give none",
        "Give the mask of the new state in what step returns.",
    ),
    Code(
        "missing-at-step",
        "error",
        "some steps give no mask though the episode goes on",
        "Give the mask at every step, also where it allows everything.",
    ),
    Code(
        "missing-at-truncation",
        "error",
        "a step that truncates the episode gives no mask",
        "Give it there too: a truncated state has a value, and Q-learning maximises over what "
        "is allowed in it.",
    ),
    Code(
        "missing-at-termination",
        "doubt",
        "the step that terminates the episode gives no mask",
        "Give one there too (all False will do): vector environments stack the masks of all "
        "their rows and would invent one.",
    ),
    # what is it made of?
    Code(
        "wrong-length",
        "error",
        "a mask has another number of entries than there are actions",
        "Give one flag per action, in the order of the action space; of several heads, one "
        "after the other.",
    ),
    Code(
        "not-flags",
        "error",
        "a mask holds other values than 0 and 1",
        "Compare first, so that the meaning is explicit: scores > 0, or penalties == 0.",
    ),
    Code(
        "nothing-allowed",
        "error",
        "a mask allows nothing though the episode goes on",
        "End the episode there, allow an action that waits, or, if that is how it is meant, "
        'train with empty="idle" and audit with empty="idle".',
    ),
    Code(
        "type-changes",
        "doubt",
        "masks come in several types",
        "Give the same type at every reset and step, best numpy bool: vector environments take "
        "the type of the first and cast all others to it.",
    ),
    Code(
        "length-changes",
        "error",
        "masks come in several lengths",
        "Give one flag for each of the actions at every step, False for those that are not there.",
    ),
    Code(
        "outside-its-space",
        "doubt",
        "the observation's mask is not in its declared space",
        "Declare it as mask_space(n), which is Box(0, 1, (n,), dtype=bool), and give that.",
    ),
    Code(
        "float-flags",
        "note",
        "flags are floats",
        "numpy bool takes a quarter of the room and cannot be mistaken for scores.",
    ),
    Code(
        "ids-for-flags",
        "note",
        "the mask is a list of allowed action ids",
        "One flag per action is what everything else takes, and [0, 1] cannot be misread then.",
    ),
    Code(
        "sources-disagree",
        "error",
        "two places tell different masks at the same moment",
        "Compute the mask once and hand the same out everywhere, or in one place only.",
    ),
    # does it say what the rules say?
    Code(
        "inverted",
        "error",
        "the mask marks what is forbidden",
        "Say mask_allowed=0 where it is used, or invert it in the environment: 1 means allowed "
        "nearly everywhere.",
    ),
    Code(
        "stale-previous",
        "error",
        "the mask is that of the state before",
        "Compute the mask after the state has changed, not before.",
    ),
    Code(
        "stale-reset",
        "error",
        "the mask is still that of the episode's first state",
        "Compute the mask again in every step.",
    ),
    Code(
        "stale-across-reset",
        "error",
        "the mask at reset is the last one of the episode before",
        "Compute the mask in reset after the state was set up.",
    ),
    Code(
        "rows-swapped",
        "error",
        "rows have each other's masks",
        "Stack the masks in the order of the sub-environments (or agents) that the "
        "observations have.",
    ),
    Code(
        "allowed-raises",
        "error",
        "an allowed action raises",
        "Disallow it there, or let the environment take it.",
    ),
    Code(
        "allowed-refused",
        "error",
        "an allowed action is answered like a disallowed one",
        "Disallow it there: the rules refuse it.",
    ),
    Code(
        "allowed-no-op",
        "doubt",
        "an action is allowed where it does nothing",
        "Disallow it there, unless it is meant as waiting: the mask would save the search.",
    ),
    Code(
        "forbidden-acts",
        "doubt",
        "a disallowed action acts like an allowed one",
        "Allow it there, unless the mask is stricter than the rules on purpose.",
    ),
    Code(
        "penalised",
        "note",
        "disallowed actions are punished",
        "Under a mask nobody meets the penalty; it matters to agents that go without.",
    ),
    Code(
        "waits",
        "note",
        "an action never does anything where it was tried",
        "As a way to wait it may stay; otherwise the action can go.",
    ),
    Code(
        "forbids-nothing",
        "note",
        "the mask never forbade anything",
        "Audit with more steps, or leave the mask out.",
    ),
    Code(
        "never-changes",
        "note",
        "the mask was the same at every moment",
        "If the same is always allowed, a smaller action space says so once and for all.",
    ),
    # can it be kept, repeated and batched?
    Code(
        "changed-in-place",
        "doubt",
        "a mask that was handed out changes later",
        "Hand out a copy, as maskrl's adapters do: whoever stores the mask would find another one "
        "in its place.",
    ),
    Code(
        "differs-when-read-again",
        "error",
        "the mask differs when it is read twice in the same state",
        "Compute it from the state alone; draw nothing and change nothing while doing so.",
    ),
    Code(
        "differs-on-replay",
        "error",
        "the same seed and actions give another mask",
        "Compute it from the state alone, and draw randomness from self.np_random only.",
    ),
    Code(
        "not-reproducible",
        "note",
        "the same seed and actions give another episode",
        "Draw all randomness from self.np_random, seeded by super().reset(seed=seed).",
    ),
    Code(
        "copies-interfere",
        "error",
        "stepping one copy of the environment changes the masks of another",
        "Keep the mask in the instance, not in the class or the module.",
    ),
    Code(
        "vector-differs",
        "error",
        "in a vector environment a row has another mask than the same environment alone",
        "See in which mode and step; most often the mask is missing in a step or shared by copies.",
    ),
    Code(
        "vector-fails",
        "error",
        "a vector environment of several copies fails",
        "Give masks of one type and length at every reset and step.",
    ),
    Code(
        "adapter-fails",
        "error",
        "maskrl's adapter refuses the environment",
        "Its message says what is wrong; nothing can be trained before that.",
    ),
    Code(
        "adapter-differs",
        "error",
        "after adapting, the mask says something else",
        "Name where the mask is and how it is written: mask_key, mask_allowed, binary_convention.",
    ),
    Code(
        "fails",
        "error",
        "the environment fails by itself",
        "Its error is quoted.",
    ),
    Code(
        "waiting-allows",
        "note",
        "the mask of a player who waits allows something",
        "Give all False while another player moves, as most games do.",
    ),
    Code(
        "slow-masks",
        "note",
        "computing masks takes most of a step",
        "Update the mask with the state instead of computing it anew.",
    ),
)

CODES: dict[str, Code] = {code.name: code for code in _ALL}
"""All codes by their names."""
