"""Functions that hand elements on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency.lrp import Zero
from tests.lrp.walked import CONDITION, Walked, normal

import chainer.functions as F

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def _max_pooling_indexes():
    return F.max_pooling_2d(normal(2, 3, 4, 4), 2, return_indices=True)[1]


# Functions that hand on elements: name -> (function, shapes of its inputs).
ROUTING = {
    "as_strided": (lambda x: F.as_strided(x, (3, 2), (1, 2)), [(6,)]),
    "as_strided, overlapping": (lambda x: F.as_strided(x, (4, 3), (1, 1)), [(6,)]),
    "broadcast": (lambda x, y: F.broadcast(x, y), [(2, 3), (3,)]),
    "broadcast_to": (lambda x: F.broadcast_to(x, (4, 2, 3)), [(2, 1)]),
    "cast": (lambda x: F.cast(x, "f"), [(2, 3)]),
    "concat": (lambda x, y: F.concat([x, y, x]), [(2, 3), (2, 1)]),
    "copy": (lambda x: F.copy(x, -1), [(2, 3)]),
    "depth2space": (lambda x: F.depth2space(x, 2), [(2, 8, 2, 3)]),
    "diagonal": (lambda x: F.diagonal(x), [(3, 3)]),
    "dstack": (lambda x, y: F.dstack([x, y]), [(2, 3), (2, 3)]),
    "expand_dims": (lambda x: F.expand_dims(x, 1), [(2, 3)]),
    "flatten": (F.flatten, [(2, 3)]),
    "flip": (lambda x: F.flip(x, 1), [(2, 3)]),
    "fliplr": (F.fliplr, [(2, 3)]),
    "flipud": (F.flipud, [(2, 3)]),
    "get_item": (lambda x: x[:, 1:], [(2, 3)]),
    "get_item, repeated": (lambda x: x[[0, 0, 1, 0]], [(2, 3)]),
    "hstack": (lambda x, y: F.hstack([x, y]), [(2, 3), (2, 1)]),
    "im2col": (lambda x: F.im2col(x, 3, pad=1), [(1, 2, 4, 4)]),
    "moveaxis": (lambda x: F.moveaxis(x, 0, 2), [(2, 3, 4)]),
    "pad, constant": (lambda x: F.pad(x, 1, "constant"), [(2, 3)]),
    "pad, edge": (lambda x: F.pad(x, ((1, 0), (2, 1)), "edge"), [(2, 3)]),
    "pad, reflect": (lambda x: F.pad(x, ((0, 1), (1, 2)), "reflect"), [(2, 3)]),
    "pad, symmetric": (lambda x: F.pad(x, 2, "symmetric"), [(2, 3)]),
    "pad, wrap": (lambda x: F.pad(x, ((0, 0), (2, 3)), "wrap"), [(2, 3)]),
    "pad_sequence": (lambda x, y: F.pad_sequence([x, y]), [(2, 3), (4, 3)]),
    "permutate": (lambda x: F.permutate(x, np.array([2, 0, 1])), [(3, 2)]),
    "repeat": (lambda x: F.repeat(x, (1, 3), axis=0), [(2, 3)]),
    "reshape": (lambda x: F.reshape(x, (3, -1)), [(2, 3)]),
    "rollaxis": (lambda x: F.rollaxis(x, 2), [(2, 3, 4)]),
    "select_item": (lambda x: F.select_item(x, np.array([2, 1])), [(2, 3)]),
    "separate": (F.separate, [(2, 3)]),
    "shift": (F.shift, [(1, 9, 3, 3)]),
    "space2depth": (lambda x: F.space2depth(x, 2), [(2, 2, 4, 6)]),
    "split_axis": (lambda x: F.split_axis(x, [1], axis=1), [(2, 3)]),
    "squeeze": (F.squeeze, [(2, 1, 3)]),
    "stack": (lambda x, y: F.stack([x, y], axis=1), [(2, 3), (2, 3)]),
    "swapaxes": (lambda x: F.swapaxes(x, 0, 1), [(2, 3)]),
    "tile": (lambda x: F.tile(x, (2, 3)), [(2, 3)]),
    "transpose": (F.transpose, [(2, 3, 4)]),
    "transpose_sequence": (
        lambda x, y: F.transpose_sequence([x, y]),
        [(3, 2), (1, 2)],
    ),
    "unpooling_1d": (lambda x: F.unpooling_1d(x, 2, cover_all=False), [(1, 2, 3)]),
    "unpooling_2d": (lambda x: F.unpooling_2d(x, 2, outsize=(5, 6)), [(1, 2, 3, 3)]),
    "unpooling_3d": (
        lambda x: F.unpooling_3d(x, 2, cover_all=False),
        [(1, 1, 2, 2, 2)],
    ),
    "unpooling_nd": (lambda x: F.unpooling_nd(x, 3, stride=4), [(1, 1, 2)]),
    "upsampling_2d": (
        lambda x: F.upsampling_2d(x, _max_pooling_indexes(), 2, cover_all=False),
        [(2, 3, 2, 2)],
    ),
    "vstack": (lambda x, y: F.vstack([x, y]), [(2, 3), (1, 3)]),
    "where": (lambda x, y: F.where(CONDITION, x, y), [(2, 3), (2, 3)]),
    "embed_id, of its weights": (
        lambda w: F.embed_id(np.array([1, 0, 1]), w),
        [(3, 2)],
    ),
    "identity": (lambda x: F.identity(x), [(2, 3)]),
}


@pytest.mark.parametrize("name", ROUTING)
def test_relevance_goes_where_an_element_came_from(name):
    f, shapes = ROUTING[name]
    # The value of an element is its number; 0 is padding.
    sizes = [int(np.prod(shape)) for shape in shapes]
    numbers = np.split(np.arange(1.0, sum(sizes) + 1), np.cumsum(sizes)[:-1])
    walked = Walked(f, *(n.reshape(s) for n, s in zip(numbers, shapes)))
    expected = np.zeros(sum(sizes) + 1)
    for y, r in zip(walked.outputs, walked.start):
        for number, r_k in zip(y.ravel(), r.ravel()):
            expected[int(number)] += r_k
    found = np.concatenate([r.ravel() for r in walked.relevance])
    atol = 1e-6 if name == "cast" else 1e-10
    assert_allclose(found, expected[1:], rtol=0, atol=atol)


def test_relevance_of_a_token_is_that_of_its_embedding():
    ids, W = np.array([[1, 0, 2]]), normal(3, 4)
    walked = Walked(lambda v: F.embed_id(v, W), ids)
    assert_allclose(walked.relevance[0], walked.start[0].sum(axis=-1))


@pytest.mark.parametrize("name", ["zoneout", "zoneout, in evaluation"])
def test_zoneout_leaves_relevance_to_the_state_that_was_taken(name):
    h, x = normal(2, 3), normal(2, 3, seed=2)
    walked = Walked(F.zoneout, h, x, train=name == "zoneout", rule=Zero())
    walked.check_conservation()
    if name == "zoneout":
        is_old = walked.outputs[0] == h
        assert_allclose(walked.relevance[0], walked.start[0] * is_old)
        assert_allclose(walked.relevance[1], walked.start[0] * ~is_old)
