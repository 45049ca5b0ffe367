"""What all calculators promise, for those that need an image, a layer or a ReLU."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import saliency
from saliency import BaseCalculator, GaussianNoiseSampler
from tests.calculator.every_calculator import CALCULATORS, OF_IMAGES
from tests.calculator.kinds_of_calls import Subject, images
from tests.calculator.test_promises import CALLS, ENDS, blowing, state_of
from tests.calculator.threads import in_threads
from tests.covering import every_pair
from tests.networks import Fuse

every_of_images = pytest.mark.parametrize(
    "new_calculator", OF_IMAGES.values(), ids=OF_IMAGES
)

#: All that is random.
RANDOM = {"M": 2, "train": True, "noise_sampler": GaussianNoiseSampler(), "seed": 0}


@pytest.fixture
def model():
    return Subject().model


def test_every_public_calculator_is_tested():
    """With the tests for all calculators, or with those of this file."""
    names = [name for name in saliency.__all__ if name.endswith("Calculator")]
    expected = {getattr(saliency, name) for name in names} - {BaseCalculator}
    entries = [*CALCULATORS.values(), *OF_IMAGES.values()]
    classes = [one.func if isinstance(one, partial) else one for one in entries]
    tested = {c for one in classes for c in one.__mro__[:2] if c in expected}
    assert {c.__name__ for c in expected - tested} == set()


@every_pair(
    new_calculator=OF_IMAGES,
    blows_at=ENDS,
    call=CALLS,
    train={"evaluate": False, "train": True},
)
def test_nothing_is_changed(new_calculator, call, blows_at, train, model):
    data, fuse = images(1, n=3), Fuse(blows_at)
    before = state_of(model, data)
    calculator = new_calculator(
        model, eval_fun=lambda v: fuse(model(v)), class_index="argmax"
    )
    with blowing(blows_at):
        getattr(calculator, call)(data, **{**RANDOM, "train": train, "batchsize": 2})
    assert state_of(model, data) == before


@every_of_images
def test_an_interrupt_leaves_nothing_behind(new_calculator, model):
    data = images(1, n=3)
    before = state_of(model, data)

    def interrupted(v):
        model(v)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        new_calculator(model, eval_fun=interrupted, class_index=0).compute(data)
    assert state_of(model, data) == before


@every_of_images
def test_samples_depend_on_nothing_beside_them(new_calculator, model):
    """Neither on the size of a pass, nor on other examples, threads and calls."""
    data = images(1, n=3)
    calculator = new_calculator(model, class_index="argmax")
    samples = calculator.compute(data, **RANDOM)
    assert (samples[0] != samples[1]).any()
    for batchsize in (1, 2):
        again = calculator.compute(data, batchsize=batchsize, **RANDOM)
        assert_allclose(again, samples, rtol=1e-9, atol=1e-12)
    of_two = calculator.compute(data[:2], **RANDOM)
    assert_allclose(of_two, samples[:, :2], rtol=1e-9, atol=1e-12)
    for found in in_threads(*[partial(calculator.compute, data, **RANDOM)] * 2):
        assert_array_equal(found, samples)
    assert (calculator.compute(data, **{**RANDOM, "seed": 1}) != samples).any()


@every_of_images
def test_a_file_has_the_result_however_it_is_written(new_calculator, model, tmp_path):
    """After an interruption as well, and by a calculator that was sent to a worker."""
    data, path = images(1, n=3), tmp_path / "x.npy"
    how = {**RANDOM, "method": "abs", "batchsize": 2}
    plain = new_calculator(model, class_index=1)
    expected = plain.compute_aggregate(data, **how)
    n_pass = Fuse()
    counted = new_calculator(model, eval_fun=lambda v: n_pass(model(v)), class_index=1)
    counted.compute_aggregate(data, **how)
    fuse = Fuse(blows_at=n_pass.n_call - 1)
    fused = new_calculator(model, eval_fun=lambda v: fuse(model(v)), class_index=1)
    with blowing(fuse.blows_at):
        fused.compute_aggregate(data, out=path, **how)
    fuse.blows_at = None
    fused.compute_aggregate(data, out=path, **how)
    assert_array_equal(np.load(path), expected)
    sent = pickle.loads(pickle.dumps(plain))
    assert_array_equal(sent.compute_aggregate(data, **how), expected)
