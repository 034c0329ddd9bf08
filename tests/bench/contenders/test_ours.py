"""maskrl takes part as its users call it, with boolean masks and with bits."""

from __future__ import annotations

import pytest

from maskrl.bench.contenders.ours import MASKRL, MASKRL_BITS
from maskrl.bench.groups.rows import acting_run, learning_run
from maskrl.bench.inputs import make_inputs
from maskrl.bench.tasks import Entrant
from maskrl.masks.packed import PackedMask


@pytest.mark.parametrize("contender", [MASKRL, MASKRL_BITS], ids=lambda c: c.name)
@pytest.mark.parametrize("sizes", [7, (3, 2, 9)], ids=str)
@pytest.mark.parametrize("allowed", [0.02, 0.4, 1.0])
def test_it_is_right(contender, sizes, allowed):
    entrant = Entrant(contender, contender.load())
    inputs = make_inputs(50, sizes, allowed)
    for workload, make in (("acting", acting_run), ("learning", learning_run)):
        check = make(entrant, entrant.way(inputs.nvec, workload), inputs).check()
        assert check.wrong is None and check.error < 1e-5


def test_bits_are_packed_outside_of_what_is_timed():
    inputs = make_inputs(5, 9, 0.5)
    packed = MASKRL_BITS.load()(None).prepare_mask(inputs.action_mask)
    assert isinstance(packed, PackedMask)
    assert bool((packed.unpack() == inputs.action_mask).all())


def test_greedy_choices_are_the_best_allowed():
    inputs = make_inputs(40, 9, 0.3)
    way = MASKRL.load()(None)
    values = inputs.logits.detach()
    chosen = way.choose_greedily(values, inputs.action_mask)
    for row, action in enumerate(chosen.tolist()):
        allowed = [i for i in range(9) if inputs.action_mask[row, i]]
        assert action == max(allowed, key=lambda i: float(values[row, i]))
