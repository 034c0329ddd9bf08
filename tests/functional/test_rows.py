"""The door of the categorical operations: every refusal, in full words."""

from __future__ import annotations

import math

import pytest
import torch

import maskrl.functional as F
from maskrl.errors import (
    ConfigError,
    MaskDtypeError,
    MaskError,
    MaskShapeError,
    NoAllowedActionError,
    NonFiniteLogitsError,
)
from maskrl.functional.rows import check_idle_action, first_allowed, raise_non_finite

OPERATIONS = [
    F.masked_softmax,
    F.masked_log_softmax,
    F.masked_logsumexp,
    F.masked_entropy,
    F.masked_sample,
    F.masked_argmax,
]
LOGITS = torch.randn(2, 3, 4)
MASK = torch.ones(2, 3, 4, dtype=torch.bool)


@pytest.fixture(params=OPERATIONS, ids=lambda f: f.__name__)
def operation(request):
    return request.param


def words_of(error, call):
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("logits", "error", "word"),
    [
        (torch.ones(3, dtype=torch.int64), MaskDtypeError, "int64"),
        ([1.0, 2.0], MaskDtypeError, "list"),
        (torch.tensor(1.0), MaskShapeError, "()"),
        (torch.ones(3, 0), MaskShapeError, "(3, 0)"),
    ],
)
def test_logits_are_floating_point_rows(operation, logits, error, word):
    message = words_of(error, lambda: operation(logits, None))
    assert operation.__name__ in message
    assert word in message


def test_x4_masks_are_checked(operation):
    for m, error in [
        (MASK.float(), MaskDtypeError),
        (MASK.numpy(), MaskDtypeError),
        (MASK[..., :3], MaskShapeError),
        (MASK[0, 0, :1], MaskShapeError),
        (MASK.to("meta"), MaskError),
    ]:
        assert operation.__name__ in words_of(error, lambda m=m: operation(LOGITS, m))


def test_x5_empty_rows_are_refused_with_the_first_index(operation):
    m = MASK.clone()
    m[1, 0] = m[1, 2] = False
    message = words_of(NoAllowedActionError, lambda: operation(LOGITS, m))
    for word in ["row (1, 0)", "2 of 6 rows", 'empty="idle"', "inverted", operation.__name__]:
        assert word in message


def test_x5_a_broadcast_empty_row_is_counted_for_every_row(operation):
    message = words_of(
        NoAllowedActionError, lambda: operation(LOGITS, torch.zeros(4, dtype=torch.bool))
    )
    assert "row (0, 0) (6 of 6 rows" in message


def test_empty_is_one_of_two_words(operation):
    message = words_of(ConfigError, lambda: operation(LOGITS, MASK, empty="uniform"))
    assert "'uniform'" in message
    assert '"raise" or "idle"' in message


def test_raise_is_refused_while_tracing(operation):
    def traced(x):
        return operation(x, MASK[0])

    message = words_of(ConfigError, lambda: torch.vmap(traced, randomness="different")(LOGITS))
    assert 'empty="idle"' in message
    assert operation.__name__ in message


def test_without_a_mask_there_is_nothing_to_refuse(operation):
    assert len(torch.vmap(lambda x: operation(x, None), randomness="same")(LOGITS)) == 2


def test_callers_tensors_are_unchanged(operation):
    logits, m = LOGITS.clone(), MASK.clone()
    m[0, 0, 1:] = False
    kept = m.clone()
    operation(logits, m)
    assert torch.equal(logits, LOGITS)
    assert torch.equal(m, kept)


@pytest.mark.parametrize("idle_action", [-1, 4, 1.0, None, "0"])
def test_the_idle_action_is_an_action(idle_action):
    with pytest.raises(ConfigError, match="expected an integer from 0 to 3"):
        check_idle_action("masked_sample", idle_action, 4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({(1, 2, 3): math.nan}, ["nan at row (1, 2), action 3", "diverged network"]),
        ({(0, 1, 0): math.inf}, ["inf at row (0, 1), action 0"]),
        ({(1, 1): -math.inf}, ["every allowed logit is -inf in row (1, 1)", "action_mask"]),
    ],
)
def test_x13_non_finite_logits_are_named(change, words):
    logits = LOGITS.clone()
    for index, value in change.items():
        logits[index] = value
    for m in (MASK, None):
        message = words_of(NonFiniteLogitsError, lambda m=m: raise_non_finite("f", logits, m))
        for word in words:
            assert word in message


def test_first_allowed():
    m = torch.tensor([[False, True, True], [True, False, False], [False, False, False]])
    assert first_allowed(m, torch.zeros(3, 3)).tolist() == [1, 0, 0]
    assert first_allowed(m[0], torch.zeros(2, 3)).tolist() == [1, 1]
    assert first_allowed(None, torch.zeros(2, 3)).tolist() == [0, 0]
