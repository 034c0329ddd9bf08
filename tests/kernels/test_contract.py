"""Any backend that fulfils the contract is checked against float64 arithmetic by hand."""

from __future__ import annotations

import math

import pytest
import torch

from maskrl.kernels.reference import ReferenceBackend

BACKENDS = [ReferenceBackend()]


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["look", "traced"])
def look(request):
    return request.param


LOGITS = torch.tensor([[0.0, 9.0, math.log(3.0)], [5.0, 5.0, 5.0], [1.0, 2.0, 3.0]])
MASK = torch.tensor([[True, False, True], [True, True, True], [False, False, False]])


def test_the_members_are_there(backend):
    assert isinstance(backend.name, str)
    assert isinstance(backend.serves(LOGITS, MASK), bool)


def test_statistics_by_hand(backend, look):
    rows = backend.rows(LOGITS, MASK, look=look)
    third = 1 / 3
    torch.testing.assert_close(
        rows.probs(), torch.tensor([[0.25, 0.0, 0.75], [third, third, third], [0.0, 0.0, 0.0]])
    )
    torch.testing.assert_close(rows.log_probs().exp(), rows.probs())
    # 1/4 log 4 + 3/4 log 4/3 = log 4 - 3/4 log 3
    first = math.log(4) - 0.75 * math.log(3)
    torch.testing.assert_close(rows.entropy(), torch.tensor([first, math.log(3), 0.0]))
    torch.testing.assert_close(
        backend.logsumexp(LOGITS, MASK), torch.tensor([math.log(4), 5 + math.log(3), -math.inf])
    )
    torch.testing.assert_close(
        rows.chosen(torch.tensor([2, 0, 1])),
        torch.tensor([math.log(0.75), -math.log(3), -math.inf]),
    )
    assert rows.argmax()[0] == 2
    assert rows.empty.tolist() == [False, False, True]
    assert rows.unsound is None or not rows.unsound.any()


def test_sampling_by_hand(backend, look):
    rows = backend.rows(LOGITS[:2], MASK[:2], look=look)
    uniform = torch.tensor([[0.0, 0.0], [0.2499, 0.3333], [0.2501, 0.3334], [0.9999, 0.9999]])
    drawn = rows.sample(uniform.double())
    assert drawn.tolist() == [[0, 0], [0, 0], [2, 1], [2, 2]]
    assert drawn.dtype == torch.int64


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_unsound_rows_are_flagged_and_nan(backend, look, bad):
    logits = LOGITS.clone()
    logits[0, 0] = bad
    logits[2, 0] = bad  # an empty row: nothing in it is allowed, so nothing is wrong
    rows = backend.rows(logits, MASK, look=look)
    assert rows.unsound.tolist() == [True, False, False]
    for statistic in (rows.log_probs(), rows.probs()):
        assert statistic.isnan().tolist() == [[True, False, True], [False] * 3, [False] * 3]
    assert rows.entropy().isnan().tolist() == [True, False, False]
    assert rows.chosen(torch.tensor([2, 0, 0])).isnan().tolist() == [True, False, False]
    assert backend.logsumexp(logits, MASK).isnan().tolist() == [True, False, False]


def test_rows_without_a_finite_logit_are_unsound(backend, look):
    rows = backend.rows(torch.full((2, 3), -math.inf), MASK[1:], look=look)
    assert rows.unsound.tolist() == [True, False]
    assert backend.rows(torch.full((2, 3), -math.inf), None, look=look).unsound.all()


def test_sound_rows_say_so_where_values_are_looked_at(backend):
    rows = backend.rows(LOGITS[:2], MASK[:2], look=True)
    assert rows.empty is None
    assert rows.unsound is None


def test_no_mask_allows_everything(backend, look):
    rows = backend.rows(LOGITS, None, look=look)
    torch.testing.assert_close(rows.probs(), LOGITS.softmax(-1))
    torch.testing.assert_close(backend.logsumexp(LOGITS, None), LOGITS.logsumexp(-1))
    assert rows.empty is None
