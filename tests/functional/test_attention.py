"""Attention kernels: two paths, one meaning, exact zeros, gradients of all orders.

The reference is written out with `where` and a softmax in float64. Every shape
is run through both paths, chosen by the limit that the module itself uses.
"""

import math

import pytest
import torch
from torch.autograd import forward_ad

from maskrl.errors import MaskDtypeError, MaskShapeError
from maskrl.functional import attention
from maskrl.functional.attention import (
    KEYS_FIRST_LIMIT,
    attend,
    attend_with_maps,
    masked_attention,
    masked_attention_with_maps,
    open_empty_rows,
)

FULL = ((2, 3), 5, 6, "pair")
SHAPES = [
    FULL,
    ((2, 3), 5, 6, "key"),
    ((2, 3), 5, 6, "none"),
    ((2, 3), 1, 6, "pair"),
    ((4,), 3, 7, "pair"),
    ((), 4, 4, "pair"),
    ((2, 2, 3), 4, 5, "pair"),
    ((2, 1), 3, 1, "pair"),
    ((0, 3), 3, 4, "pair"),
]
PATHS = {"keys first": 10**6, "fused": 0}


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    monkeypatch.setattr(attention, "KEYS_FIRST_LIMIT", PATHS[request.param])
    return request.param


def scene(lead, queries, keys, kind, dtype=torch.float64, width=4):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    query, key, value = (
        draw(*lead, queries, width),
        draw(*lead, keys, width),
        draw(*lead, keys, width + 1),
    )
    shapes = {"pair": (*lead, queries, keys), "key": (*lead[:-1], 1, 1, keys)}
    permission = None
    if kind in shapes:
        permission = torch.rand(shapes[kind], generator=generator) < 0.5
        if permission.numel():
            permission[..., 0, :] = False  # a row that permits nothing
    return query, key, value, permission


def reference(query, key, value, permission):
    """By definition, in float64."""
    scores = query.double() @ key.double().transpose(-1, -2) / math.sqrt(query.shape[-1])
    if permission is not None:
        scores = torch.where(permission, scores, -math.inf)
    maps = torch.nan_to_num(torch.softmax(scores, -1))  # empty rows are 0 / 0
    return maps @ value.double(), maps


@pytest.mark.parametrize(("lead", "queries", "keys", "kind"), SHAPES)
def test_both_paths_equal_the_definition(path, lead, queries, keys, kind):
    inputs = scene(lead, queries, keys, kind)
    expected, expected_maps = reference(*inputs)
    out, maps = masked_attention_with_maps(*inputs)
    torch.testing.assert_close(masked_attention(*inputs), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(maps, expected_maps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("lead", "queries", "keys", "kind"), SHAPES[:5])
def test_the_paths_have_the_same_gradients(monkeypatch, lead, queries, keys, kind):
    grads = []
    for limit in PATHS.values():
        monkeypatch.setattr(attention, "KEYS_FIRST_LIMIT", limit)
        *tensors, permission = scene(lead, queries, keys, kind, torch.float32)
        tensors = [t.requires_grad_() for t in tensors]
        out = masked_attention(*tensors, permission)
        grads.append(torch.autograd.grad(out.square().sum(), tensors))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["pair", "key", "none"])
def test_gradients_of_first_and_second_order(kind):
    *tensors, permission = scene((2,), 3, 4, kind)
    tensors = [t.requires_grad_() for t in tensors]

    def both(query, key, value):
        return masked_attention_with_maps(query, key, value, permission)

    assert torch.autograd.gradcheck(both, tensors)
    assert torch.autograd.gradgradcheck(both, tensors)


def test_values_that_are_the_keys_have_the_gradients_of_both():
    query, key, _, permission = scene((2,), 3, 4, "pair")
    query, key = query.requires_grad_(), key.requires_grad_()
    one = masked_attention(query, key, key, permission)
    two = masked_attention(query, key, key.clone(), permission)
    torch.testing.assert_close(one, two)
    for tensor in (query, key):
        (a,) = torch.autograd.grad(one.square().sum(), tensor, retain_graph=True)
        (b,) = torch.autograd.grad(two.square().sum(), tensor, retain_graph=True)
        torch.testing.assert_close(a, b)
    assert torch.autograd.gradcheck(
        lambda q, k: masked_attention(q, k, k, permission), (query, key)
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_what_is_not_permitted_is_exactly_zero(path, dtype):
    *tensors, permission = scene((2, 3), 5, 6, "pair", dtype)
    query, key, value = (t.requires_grad_() for t in tensors)
    out, maps = masked_attention_with_maps(query, key, value, permission)
    assert (maps[~permission] == 0).all()
    assert (out[..., 0, :] == 0).all()
    assert out.dtype == maps.dtype == dtype
    out = masked_attention(query, key, value, permission)
    assert (out[..., 0, :] == 0).all()
    # Row 0 permits nothing: no gradient enters through it, whatever the loss does with it.
    upstream = torch.ones_like(out)
    upstream[..., 1:, :] = 0
    for grad in torch.autograd.grad(out, (query, key, value), upstream, retain_graph=True):
        assert (grad == 0).all()
    # Key 2 is permitted to nobody but query 4.
    alone = permission.clone()
    alone[..., 2] = False
    alone[..., 4, 2] = True
    out = masked_attention(query, key, value, alone)
    upstream = torch.ones_like(out)
    upstream[..., 4, :] = 0
    _, grad_key, grad_value = torch.autograd.grad(out, (query, key, value), upstream)
    assert (grad_key[..., 2, :] == 0).all()
    assert (grad_value[..., 2, :] == 0).all()


@pytest.mark.parametrize("huge", [1e30, -1e30])
def test_no_score_gets_through_the_mask_however_large(path, huge):
    query, key, value, permission = scene((2, 3), 5, 6, "pair", torch.float32)
    permission[..., 2] = False
    expected = masked_attention(query, key, value, permission)
    key = key.clone()
    key[..., 2, :] = huge
    assert torch.equal(masked_attention(query, key, value, permission), expected)
    assert torch.equal(
        masked_attention_with_maps(query, key, value, permission)[0][..., 0, :],
        torch.zeros(2, 3, 5),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_stays_near_the_definition(path, dtype):
    inputs = scene((2, 3), 5, 6, "pair", dtype)
    expected, expected_maps = reference(*inputs)
    tolerance = 2e-6 if dtype == torch.float32 else 2e-2
    out, maps = masked_attention_with_maps(*inputs)
    for got, want in (
        (out, expected),
        (maps, expected_maps),
        (masked_attention(*inputs), expected),
    ):
        torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)


def test_the_scale_replaces_the_square_root(path):
    query, key, value, permission = scene((2, 3), 5, 6, "pair")
    expected = masked_attention(query * 3, key, value, permission)
    got = masked_attention(query, key, value, permission, scale=3 / math.sqrt(4))
    torch.testing.assert_close(got, expected)


def test_leading_dimensions_broadcast(path):
    query, key, value, permission = scene((2, 3), 5, 6, "pair")
    lone = masked_attention(query, key[:1, :1], value[:1, :1], permission[:1])
    whole = masked_attention(
        query,
        key[:1, :1].expand(2, 3, 6, 4),
        value[:1, :1].expand(2, 3, 6, 5),
        permission[:1].expand(2, 3, 5, 6),
    )
    torch.testing.assert_close(lone, whole)


def test_there_may_be_no_key_at_all():
    query, key, value = torch.randn(2, 3, 4), torch.randn(2, 0, 4), torch.randn(2, 0, 5)
    nothing = torch.zeros(2, 3, 0, dtype=torch.bool)
    for permission in (None, nothing):
        assert torch.equal(masked_attention(query, key, value, permission), torch.zeros(2, 3, 5))


def test_strided_and_expanded_inputs(path):
    query, key, value, permission = scene((2, 3), 5, 6, "pair")
    expected = masked_attention(query, key, value, permission)
    turned = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (query, key, value)]
    torch.testing.assert_close(masked_attention(*turned, permission), expected)
    copies = [t.clone() for t in (*turned, permission)]
    masked_attention(*turned, permission)
    for before, after in zip(copies, (*turned, permission), strict=True):
        assert torch.equal(before, after)


def test_a_guard_exists_only_where_a_row_is_empty():
    permission = torch.tensor([[True, False], [False, True]])
    assert open_empty_rows(None) == (None, None)
    opened, kept = open_empty_rows(permission)
    assert opened is permission
    assert kept is None
    opened, kept = open_empty_rows(torch.tensor([[True, False], [False, False]]))
    assert opened.tolist() == [[True, False], [True, True]]
    assert kept.tolist() == [[True], [False]]


def test_few_keys_take_the_keys_first_path_and_many_the_fused(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("this path was not expected")

    few, many = torch.randn(1, 1, 3, 4), torch.randn(1, 1, KEYS_FIRST_LIMIT + 1, 4)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", refuse)
    attend(few, few, few, None)
    with pytest.raises(AssertionError, match="not expected"):
        attend(many, many, many, None)
    with pytest.raises(AssertionError, match="not expected"):
        attend(few.bfloat16(), few.bfloat16(), few.bfloat16(), None)


def test_messages_name_the_shapes():
    query, key, value, permission = scene(*FULL)
    with pytest.raises(MaskDtypeError, match="permission has dtype torch.uint8"):
        masked_attention(query, key, value, permission.to(torch.uint8))
    with pytest.raises(MaskShapeError, match=r"permission has shape \(2, 3, 5, 5\)"):
        masked_attention(query, key, value, permission[..., :5])
    with pytest.raises(MaskShapeError, match=r"query \(2, 3, 5, 3\), key \(2, 3, 6, 4\)"):
        masked_attention(query[..., :3], key, value, permission)
    with pytest.raises(MaskShapeError, match="do not broadcast"):
        masked_attention_with_maps(query[:, :2], key, value, permission)
    for function in (masked_attention, masked_attention_with_maps):
        with pytest.raises(MaskShapeError, match=r"D of at least 1, got query \(2, 3, 5, 0\)"):
            function(query[..., :0], key[..., :0], value, permission)


@pytest.mark.parametrize("kind", ["pair", "key", "none"])
def test_a_bias_is_added_and_gets_its_gradient(path, kind):
    query, key, value, permission = scene((2, 3), 5, 6, kind)
    opened, _ = open_empty_rows(permission)
    bias = torch.randn(3, 5, 6, dtype=torch.float64)
    scores = query @ key.transpose(-1, -2) / 2 + bias
    expected = (scores if opened is None else torch.where(opened, scores, -math.inf)).softmax(-1)
    out, maps = attend_with_maps(query, key, value, opened, bias=bias)
    torch.testing.assert_close(attend(query, key, value, opened, bias=bias), expected @ value)
    torch.testing.assert_close(out, expected @ value)
    torch.testing.assert_close(maps, expected)
    bias.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda b: attend(query, key, value, opened, bias=b), bias, nondet_tol=1e-12
    )


def test_a_bias_can_be_differentiated_twice():
    query, key, value, _ = scene((2,), 3, 4, "none")
    bias = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    query.requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda q, b: attend_with_maps(q, key, value, None, bias=b), (query, bias)
    )


def test_functional_transforms_take_plain_operations():
    query, key, value, permission = scene((3,), 4, 5, "pair")
    opened, _ = open_empty_rows(permission)
    wanted, maps = attend_with_maps(query, key, value, opened)
    found = torch.func.vmap(attend_with_maps)(query, key, value, opened)
    torch.testing.assert_close(found[0], wanted)
    torch.testing.assert_close(found[1], maps)
    torch.testing.assert_close(torch.func.vmap(attend)(query, key, value, opened), wanted)


@pytest.mark.parametrize("keys", [5, 40])
@pytest.mark.parametrize("with_maps", [False, True])
def test_autocast_chooses_the_type_and_has_gradients(keys, with_maps):
    query, key, value, permission = scene((3,), 4, keys, "pair", dtype=torch.float32)
    wanted = masked_attention(query, key, value, permission)
    query.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        if with_maps:
            out, _ = masked_attention_with_maps(query, key.bfloat16(), value, permission)
        else:
            out = masked_attention(query, key, value, permission)
    out.float().sum().backward()
    torch.testing.assert_close(out.float(), wanted, rtol=0.05, atol=0.05)
    assert query.grad.isfinite().all()


# Torch loads what it derives forwards with in a way of its own that it warns of.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_forward_mode_derivatives():
    query, key, value, permission = scene((3,), 4, 5, "pair")
    direction = torch.randn_like(query)
    _, wanted = torch.autograd.functional.jvp(
        lambda q: masked_attention(q, key, value, permission), query, direction
    )
    with forward_ad.dual_level():
        out = masked_attention(forward_ad.make_dual(query, direction), key, value, permission)
        torch.testing.assert_close(forward_ad.unpack_dual(out).tangent, wanted)
