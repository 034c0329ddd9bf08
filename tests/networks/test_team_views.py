"""Views: every observer once, whom it sees in order, and little padding."""

import pytest
import torch

from maskrl.networks.team_views import SIZES, rows_of, views_of


def test_views_by_hand():
    seen = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    (views,) = views_of(seen, torch.tensor([2, 1, 1]))
    assert views.which is None
    assert views.entity.tolist() == [[2, 0, 3], [1, 1, 1], [1, 1, 1]]
    assert views.present.tolist() == [[True] * 3, [True, False, False], [True, False, False]]


def test_of_nobody_there_are_no_views():
    assert views_of(torch.zeros(0, 5, dtype=torch.bool), torch.zeros(0, dtype=torch.int64)) == []


@pytest.mark.parametrize("by_own_size", [False, True])
@pytest.mark.parametrize("worth_a_group", [0, 40, 10**9])
def test_groups_hold_every_observer_once_with_whom_it_sees(by_own_size, worth_a_group):
    torch.manual_seed(0)
    share = torch.rand(200, 1)
    seen = torch.rand(200, 70) < share
    seen[torch.rand(200) < 0.1] = False
    observer = torch.randint(0, 70, (200,))
    groups = views_of(seen, observer, by_own_size=by_own_size, worth_a_group=worth_a_group)
    found = {}
    for views in groups:
        which = range(200) if views.which is None else views.which.tolist()
        for i, index, present in zip(which, views.entity, views.present, strict=True):
            assert i not in found
            found[i] = index[present].tolist()
    expected = {
        i: [int(observer[i]), *(e for e in range(70) if seen[i, e] and e != observer[i])]
        for i in range(200)
    }
    assert found == expected
    assert worth_a_group == 10**9 or len(groups) > 1
    if not by_own_size and worth_a_group == 10**9:
        assert len(groups) == 1


def test_by_own_size_the_width_follows_from_an_observers_own_number():
    torch.manual_seed(1)
    seen = torch.rand(300, 60) < torch.rand(300, 1)
    observer = torch.randint(0, 60, (300,))
    edges = [*SIZES, *range(SIZES[-1] + 16, 80, 16)]

    def widths(rows):
        found = {}
        for views in views_of(seen[rows], observer[rows], by_own_size=True):
            which = torch.arange(len(rows)) if views.which is None else views.which
            found |= {int(rows[i]): views.entity.shape[1] for i in which}
        return found

    together = widths(torch.arange(300))
    for i in range(0, 300, 7):
        others = seen[i].clone()
        others[observer[i]] = False
        size = 1 + int(others.sum())
        assert together[i] == min(edge for edge in edges if edge >= size)
        assert widths(torch.tensor([i])) == {i: together[i]}


def test_rows_of_scenes():
    x = torch.arange(24.0).view(2, 4, 3)
    rows = rows_of(x, torch.tensor([1, 0]), torch.tensor([[3, 0], [2, 2]]))
    assert torch.equal(rows, torch.stack([x[1, [3, 0]], x[0, [2, 2]]]))
