"""The definition against a loop over pairs, and its exact zeros."""

import torch

from maskrl.kernels.scenes.definition import attention_by_definition, layer_by_definition


def by_loop(rows, memory, sight):
    heads, inner = sight.heads, rows.shape[-1] // (3 if memory is None else 1)
    joint = rows[..., inner:] if memory is None else memory
    key, value = joint[..., :inner], joint[..., -inner:]
    scenes, queries, keys = len(rows), rows.shape[1], key.shape[1]
    out = torch.zeros(scenes, queries, inner, dtype=rows.dtype)
    for n in range(scenes):
        for i in range(queries):
            if sight.looking is not None and not sight.looking[n, i]:
                continue
            row = 0 if sight.permission is None or sight.permission.shape[1] == 1 else i
            seen = [
                j
                for j in range(keys)
                if (sight.permission is None or sight.permission[n, row, j])
                and (sight.there is None or sight.there[n, j])
            ]
            for h in range(heads):
                own = slice(h * inner // heads, (h + 1) * inner // heads)
                if seen:
                    scores = key[n, seen, own] @ rows[n, i, :inner][own] * sight.scale
                    out[n, i, own] = scores.softmax(0) @ value[n, seen, own]
    return out


def test_it_is_attention_over_what_is_permitted(draw_scene):
    for kind in ("joint", "apart", "shared"):
        for mask in ("none", "same", "pair"):
            for looking, there in ((False, False), (True, True)):
                rows, memory, sight = draw_scene(kind, 3, 5, 4, mask, looking, there)
                torch.testing.assert_close(
                    attention_by_definition(rows, memory, sight), by_loop(rows, memory, sight)
                )


def test_what_is_not_there_may_be_no_number(draw_scene):
    rows, _, sight = draw_scene("joint", 5, 5, 4, "pair", False, True)
    x = torch.randn(3, 5, 6)
    into, out_of = torch.randn(24, 6), torch.randn(6, 8)
    dirty = torch.where(sight.there.unsqueeze(-1), x, float("nan"))
    assert torch.equal(
        layer_by_definition(x, into, out_of, sight), layer_by_definition(dirty, into, out_of, sight)
    )
