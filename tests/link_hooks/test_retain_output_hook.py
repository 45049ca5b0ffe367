"""RetainOutputHook: what it keeps, what it leaves alone, and what it leaves behind."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import link_hooks
from link_hooks import RetainOutputHook
from tests.networks import CNN, MLP, build

import chainer
import chainer.functions as F
import chainer.links as L


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(2, 4))


def functions_behind(y):
    """Returns all functions of a graph, from the output down."""
    found, waiting = [], [y.creator_node]
    while waiting:
        function = waiting.pop()
        if function is not None and function not in found:
            found.append(function)
            waiting.extend(node.creator_node for node in function.inputs)
    return found


def named(y, name):
    (function,) = (f for f in functions_behind(y) if type(f).__name__ == name)
    return function


class TestKeeping:
    def test_inputs_that_chainer_drops_are_kept(self, x):
        with RetainOutputHook() as hook:
            y = F.sum(F.concat([F.relu(F.sin(x)) * 0.5, x * 2.0]))
        (of_relu,) = hook.get_inputs(named(y, "ReLU"))
        assert named(y, "ReLU").inputs[0].data is None
        assert_array_equal(of_relu, np.sin(x))
        (left, right) = hook.get_inputs(named(y, "Concat"))
        assert_array_equal(left, np.sin(x).clip(min=0) * 0.5)
        assert_array_equal(right, x * 2)

    def test_every_function_of_a_network_is_kept(self):
        model = build(CNN)
        images = np.random.default_rng(2).normal(size=(2, 2, 6, 6))
        with RetainOutputHook() as hook, chainer.using_config("train", False):
            y = model(images)
        for function in functions_behind(y):
            inputs, outputs = hook.get_inputs(function), hook.get_outputs(function)
            assert all(isinstance(a, np.ndarray) for a in (*inputs, *outputs))
            # The arrays are the ones that were used: the function gives them again.
            with chainer.using_config("train", False):
                assert_array_equal(function.forward(inputs)[0], outputs[0])

    def test_outputs_are_what_the_next_function_received(self, x):
        with RetainOutputHook() as hook:
            y = F.relu(F.exp(x))
        assert (
            hook.get_outputs(named(y, "Exp"))[0] is hook.get_inputs(y.creator_node)[0]
        )

    def test_the_last_output_is_that_of_the_variable(self, x):
        with RetainOutputHook() as hook:
            y = F.exp(x)
        assert hook.get_outputs(y.creator_node)[0] is y.array

    def test_an_output_that_nobody_holds_is_none(self, x):
        with RetainOutputHook() as hook:
            first, _ = F.split_axis(x, 2, axis=1)
            y = F.exp(first)
            del first, _
        left, right = hook.get_outputs(named(y, "SplitAxis"))
        assert_array_equal(left, x[:, :2])
        assert right is None

    def test_an_old_style_function_is_kept_as_the_node_of_the_graph(self, x):
        class Twice(chainer.Function):
            def forward(self, inputs):
                return (inputs[0] * 2,)

        with RetainOutputHook() as hook:
            y = F.relu(Twice()(F.exp(x)))
        assert_array_equal(
            hook.get_outputs(named(y, "FunctionAdapter"))[0], 2 * np.exp(x)
        )

    def test_augmented_assignment_does_not_change_what_was_kept(self, x):
        h = chainer.Variable(x.copy())
        with RetainOutputHook() as hook:
            y = F.exp(h)
            h += 1.0
            h *= 2.0
            y = y + h
        assert_array_equal(hook.get_inputs(named(y, "Exp"))[0], x)
        assert_array_equal(hook.get_inputs(named(y, "AddConstant"))[0], x)
        assert_array_equal(hook.get_inputs(named(y, "MulConstant"))[0], x + 1)

    def test_an_array_that_is_replaced_in_between_is_seen_as_it_was_used(self, x):
        with RetainOutputHook() as hook:
            h = F.exp(x)
            h.array = np.zeros_like(x)
            y = F.cos(h)
        assert_array_equal(hook.get_inputs(y.creator_node)[0], np.zeros_like(x))

    def test_a_function_that_was_not_applied_meanwhile_is_a_key_error(self, x):
        before = F.exp(x)
        with RetainOutputHook() as hook:
            F.cos(before)
        after = F.sin(x)
        for y in (before, after):
            with pytest.raises(KeyError):
                hook.get_inputs(y.creator_node)
            with pytest.raises(KeyError):
                hook.get_outputs(y.creator_node)

    def test_what_is_in_no_graph_is_not_kept(self, x):
        with RetainOutputHook() as hook, chainer.no_backprop_mode():
            h = F.exp(x)
            array = weakref.ref(h.array)
            del h
        assert array() is None
        del hook

    def test_blocks_one_after_the_other_add_up(self, x):
        hook = RetainOutputHook()
        with hook:
            h = F.exp(x)
        with hook:
            y = F.relu(h)
        assert_array_equal(hook.get_outputs(h.creator_node)[0], np.exp(x))
        assert_array_equal(hook.get_inputs(y.creator_node)[0], np.exp(x))

    def test_it_is_importable_from_the_package(self):
        assert "RetainOutputHook" in link_hooks.__all__


class TestLinks:
    def test_the_innermost_link_is_noted(self, x):
        model = build(MLP)
        with RetainOutputHook() as hook:
            y = model(x)
        of = {type(f).__name__: hook.get_link(f) for f in functions_behind(y)}
        assert of["LinearFunction"] in list(model.layers)
        assert of["Tanh"] is model

    def test_there_is_none_outside_of_links(self, x):
        with RetainOutputHook() as hook:
            y = F.exp(x)
        assert hook.get_link(y.creator_node) is None

    def test_a_link_that_raised_is_not_running_any_more(self, x):
        class Fallible(chainer.Chain):
            def __init__(self):
                super().__init__()
                with self.init_scope():
                    self.wrong = L.Linear(7, 3)
                    self.right = L.Linear(4, 3)

            def forward(self, x):
                h = F.exp(x)
                try:
                    return self.wrong(h)
                except chainer.utils.type_check.InvalidType:
                    within = F.cos(h)  # while the exception still has its frames
                return self.right(F.sin(h + within))

        model = build(Fallible)
        with RetainOutputHook() as hook:
            y = model(x)
        assert hook.get_link(y.creator_node) is model.right
        for name in ("Sin", "Cos", "Exp", "Add"):
            assert hook.get_link(named(y, name)) is model

    def test_links_that_define_call_themselves_are_noted(self, x):
        class OldStyle(chainer.Chain):
            def __call__(self, x):
                return F.exp(x)

        model = OldStyle()
        with RetainOutputHook() as hook:
            y = model(x)
        assert hook.get_link(y.creator_node) is model

    def test_links_whose_forward_is_called_are_noted(self, x):
        model = build(L.Linear, 4, 3)
        with RetainOutputHook() as hook:
            y = model.forward(x)
        assert hook.get_link(y.creator_node) is model

    def test_a_function_called_by_a_helper_belongs_to_the_link(self, x):
        class Indirect(chainer.Chain):
            def forward(self, x):
                return self._helper(lambda h: F.exp(h), x)

            @staticmethod
            def _helper(f, x):
                return f(x)

        model = Indirect()
        with RetainOutputHook() as hook:
            y = model(x)
        assert hook.get_link(y.creator_node) is model


class TestLeavingAlone:
    @pytest.mark.parametrize("network", [MLP, CNN])
    def test_gradients_are_the_same_with_and_without(self, network):
        shape = (2, 4) if network is MLP else (2, 2, 6, 6)
        x = np.random.default_rng(3).normal(size=shape)

        def gradients(hook):
            model = build(network)
            v = chainer.Variable(x)
            with hook or chainer.using_config("debug", False):
                loss = F.sum(F.max_pooling_1d(model(v)[:, None], 2) ** 2)
            model.cleargrads()
            loss.backward()
            return [v.grad, *(p.grad for _, p in sorted(model.namedparams()))]

        for found, expected in zip(gradients(RetainOutputHook()), gradients(None)):
            assert_array_equal(found, expected)

    def test_chainer_retains_what_it_would_retain_by_itself(self, x):
        def retained():
            y = F.sum(F.relu(F.exp(chainer.Variable(x)) * 0.5))
            functions = functions_behind(y)
            return [
                (
                    f._input_indexes_to_retain,
                    f._output_indexes_to_retain,
                    *(node.data is None for node in f.inputs),
                )
                for f in functions
            ]

        with RetainOutputHook():
            found = retained()
        assert found == retained()

    def test_it_works_among_other_hooks(self, x):
        class Counting(chainer.FunctionHook):
            def __init__(self, name):
                self.name, self.n_call = name, 0

            def forward_postprocess(self, function, in_data):
                self.n_call += 1

        with Counting("outer") as outer:
            with RetainOutputHook() as hook, Counting("inner") as inner:
                y = F.exp(x)
            F.cos(x)
        assert (outer.n_call, inner.n_call) == (2, 1)
        assert_array_equal(hook.get_inputs(y.creator_node)[0], x)


class TestLeavingNothingBehind:
    def registries(self):
        return list(chainer.get_function_hooks()), list(chainer._get_link_hooks())

    def test_no_hook_stays_registered(self, x):
        before = self.registries()
        with RetainOutputHook():
            F.exp(x)
        assert self.registries() == before

    def test_nor_after_an_exception(self, x):
        before = self.registries()
        with pytest.raises(ZeroDivisionError), RetainOutputHook() as hook:
            y = F.exp(x)
            raise ZeroDivisionError
        assert self.registries() == before
        with pytest.raises(KeyError):
            hook.get_inputs(y.creator_node)

    def test_nor_after_an_exception_within_a_function(self, x):
        before = self.registries()
        with pytest.raises(chainer.utils.type_check.InvalidType), RetainOutputHook():
            F.linear(F.exp(x), np.ones((3, 7)))
        assert self.registries() == before

    def test_one_inside_another_keeps_what_is_its_own(self, x):
        before = self.registries()
        with RetainOutputHook() as outer:
            h = F.exp(x)
            with RetainOutputHook() as inner:
                y = F.relu(h)
            z = F.cos(y)
        for hook, kept in ((outer, (h, y, z)), (inner, (y,))):
            assert len(hook._inputs) == len(kept)
            for v in kept:
                assert hook.get_outputs(v.creator_node)[0] is v.array
        assert self.registries() == before

    def test_entering_it_while_it_is_active_is_refused_and_spoils_nothing(self, x):
        before = self.registries()
        with RetainOutputHook() as hook:
            with pytest.raises(KeyError), hook:
                pass
            y = F.exp(x)
        assert_array_equal(hook.get_inputs(y.creator_node)[0], x)
        assert self.registries() == before

    @pytest.mark.parametrize("by", ["clear", "exception", "going away"])
    def test_the_arrays_are_let_go(self, x, by):
        hook = RetainOutputHook()
        try:
            with hook:
                y = F.relu(F.exp(x))
                array = weakref.ref(hook.get_inputs(y.creator_node)[0])
                function = weakref.ref(y.creator_node)
                y = None
                assert array() is not None
                if by == "exception":
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        if by == "clear":
            hook.clear()
        if by == "going away":
            del hook
        gc.collect()
        assert array() is None
        assert function() is None

    def test_asking_for_outputs_holds_nothing_after_clear(self, x):
        with RetainOutputHook() as hook:
            y = F.relu(F.exp(x))
        outputs = hook.get_outputs(named(y, "Exp"))
        array = weakref.ref(outputs[0])
        del outputs
        hook.clear()
        del y
        gc.collect()
        assert array() is None


class TestThreads:
    def test_each_sees_what_its_own_thread_applies(self):
        both_are_active = threading.Barrier(2, timeout=30)
        kept = {}

        def watch(name, function):
            x = np.full((2, 3), 0.5)
            with RetainOutputHook() as hook:
                both_are_active.wait()
                y = function(chainer.Variable(x))
                both_are_active.wait()
            kept[name] = (hook, y.creator_node, x)

        threads = [
            threading.Thread(target=watch, args=(f.__name__, f)) for f in (F.exp, F.cos)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for hook, function, x in kept.values():
            assert list(hook._inputs) == [function]
            assert hook.get_inputs(function)[0] is x
        assert sorted(kept) == ["cos", "exp"]

    def test_no_two_have_the_same_name(self):
        # Where one is gone, the next is often at its address.
        assert len({RetainOutputHook().name for _ in range(100)}) == 100
