"""VariableMonitorLinkHook by itself, without a calculator."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import link_hooks
import saliency
from link_hooks import VariableMonitorLinkHook
from tests.networks import MLP, Repeated, Siamese, build

import chainer
import chainer.functions as F


@pytest.fixture
def model():
    return build(MLP, dropout=0.5)


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(7, 4))


class TestCatching:
    def test_post_is_the_output(self, model, x):
        with VariableMonitorLinkHook(model.l1, timing="post") as hook:
            model(x)
        assert_array_equal(hook.get_variable().array, model.l1(x).array)

    def test_pre_is_the_first_input(self, model, x):
        v = chainer.Variable(x)
        with VariableMonitorLinkHook(model.l1, timing="pre") as hook:
            model(v)
        assert hook.get_variable() is v

    def test_post_is_the_default(self, model, x):
        with VariableMonitorLinkHook(model.l1) as hook:
            model(x)
        assert hook.get_variable().shape == (7, 6)

    def test_only_the_link_in_question_is_watched(self, model, x):
        with VariableMonitorLinkHook(model.layers[1]) as hook:
            model.l1(x)
            assert hook.variables == ()
            model(x)
        assert [v.shape for v in hook.variables] == [(7, 3)]

    def test_the_whole_model_may_be_watched(self, model, x):
        with VariableMonitorLinkHook(model) as hook:
            y = model(x)
        assert hook.get_variable() is y

    def test_gradients_reach_the_variable(self, model, x):
        with VariableMonitorLinkHook(model.l1) as hook:
            loss = F.sum(model(x))
        loss.backward(retain_grad=True)
        assert np.abs(hook.get_variable().grad).sum() > 0

    def test_extract_fn_is_given_hook_and_callback_data(self, model, x):
        seen = []

        def extract(hook, args):
            seen.append((hook, args.link))
            return args.args[0]

        v = chainer.Variable(x)
        with VariableMonitorLinkHook(model.l1, extract_fn=extract) as hook:
            model(v)
        assert hook.get_variable() is v
        assert seen == [(hook, model.l1)]

    def test_works_as_a_hook_of_the_link_too(self, model, x):
        hook = VariableMonitorLinkHook(model.l1)
        model.l1.add_hook(hook)
        model(x)
        model.l1.delete_hook(hook.name)
        model(x)
        assert len(hook.variables) == 1


class TestSeveralCalls:
    def test_gives_all_in_the_order_of_the_calls(self, x):
        model = build(Siamese)
        with VariableMonitorLinkHook(model.encoder) as hook:
            model(x)
        left, right = model.encoder(x[:, :2]), model.encoder(x[:, 2:])
        assert_array_equal(hook.variables[0].array, left.array)
        assert_array_equal(hook.variables[1].array, right.array)
        assert_array_equal(hook.get_variable(0).array, left.array)
        assert_array_equal(hook.get_variable(1).array, right.array)
        assert hook.get_variable() is hook.get_variable(-1) is hook.variables[1]

    @pytest.mark.parametrize("call", [2, -3])
    def test_a_call_that_was_not_is_an_error(self, call, x):
        model = build(Repeated)
        with VariableMonitorLinkHook(model.step) as hook:
            model(x)
        with pytest.raises(ValueError, match=rf"call={call}.*'step'.*2 times"):
            hook.get_variable(call)

    def test_a_link_that_was_never_called_is_named(self, model, x):
        hook = VariableMonitorLinkHook(model.l1)
        model(x)  # not registered
        for look in (hook.get_variable, hook.check_called):
            with pytest.raises(ValueError, match=r"Linear.*never called"):
                look()


class TestMemory:
    def test_keeps_the_variables_after_the_block(self, model, x):
        with VariableMonitorLinkHook(model.l1) as hook:
            model(x)
        assert hook.get_variable().shape == (7, 6)

    def test_forgets_when_registered_anew(self, model, x):
        hook = VariableMonitorLinkHook(model.l1)
        for _ in range(2):
            with hook:
                model(x)
                assert len(hook.variables) == 1

    def test_clear_lets_go_of_the_graph(self, model, x):
        with VariableMonitorLinkHook(model.l1) as hook:
            model(x)
        graph = weakref.ref(hook.get_variable().creator)
        hook.clear()
        gc.collect()
        assert hook.variables == ()
        assert graph() is None

    def test_is_taken_off_where_the_model_raises(self, model, x):
        hook = VariableMonitorLinkHook(model.l1)
        with pytest.raises(chainer.utils.type_check.InvalidType), hook:
            model(x[:, :2])
        assert chainer._get_link_hooks() == {}


class TestProcesses:
    def test_what_comes_after_sees_what_a_process_puts_in(self, model, x):
        def zero(hook, args, variable):
            variable.array = np.zeros_like(variable.array)

        hook = VariableMonitorLinkHook(model.l1)
        hook.add_process("zero", zero)
        with chainer.using_config("train", False):
            with hook:
                changed = model(x).array
            at_zero = model.layers[1](np.zeros((7, 6))).array  # tanh(0) = 0
        assert_array_equal(changed, at_zero)

    def test_is_given_hook_callback_data_and_variable(self, model, x):
        seen = []
        hook = VariableMonitorLinkHook(model.l1)
        hook.add_process("see", lambda *given: seen.append(given))
        with hook:
            model(x)
        ((given_hook, args, variable),) = seen
        assert given_hook is hook
        assert args.link is model.l1
        assert variable is hook.get_variable()

    def test_before_the_link_changes_its_input(self, model, x):
        def double(hook, args, variable):
            variable.array = 2 * variable.array

        hook = VariableMonitorLinkHook(model.l1, timing="pre")
        hook.add_process("double", double)
        with hook:
            doubled = model.l1(chainer.Variable(x))
        assert_array_equal(doubled.array, model.l1(2 * x).array)

    def test_run_in_the_order_they_were_added_for_every_call(self, x):
        model, order = build(Siamese), []
        hook = VariableMonitorLinkHook(model.encoder)
        hook.add_process("first", lambda *_: order.append("first"))
        hook.add_process("second", lambda *_: order.append("second"))
        with hook:
            model(x)
        assert order == ["first", "second"] * 2

    def test_of_the_same_name_is_replaced(self, model, x):
        order = []
        hook = VariableMonitorLinkHook(model.l1)
        hook.add_process("it", lambda *_: order.append("old"))
        hook.add_process("it", lambda *_: order.append("new"))
        with hook:
            model(x)
        assert order == ["new"]

    def test_can_be_deleted_even_from_within(self, model, x):
        order = []
        hook = VariableMonitorLinkHook(model.l1)

        def once(hook, args, variable):
            order.append("once")
            hook.delete_process("once")

        hook.add_process("once", once)
        with hook:
            model(x)
            model(x)
        assert order == ["once"]
        assert hook.process_fns == {}

    @pytest.mark.parametrize("name", [None, "a.logger.of.the.user"])
    def test_that_is_not_there_is_reported_when_it_is_deleted(
        self, model, name, caplog
    ):
        logger = name and logging.getLogger(name)
        hook = VariableMonitorLinkHook(model.l1, logger=logger)
        hook.add_process("here", print)
        hook.delete_process("gone")
        assert hook.process_fns == {"here": print}
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.name == (name or "link_hooks.variable_monitor_link_hook")
        assert "'gone'" in record.getMessage()
        assert "here" in record.getMessage()

    def test_are_deleted_by_a_str(self, model):
        with pytest.raises(TypeError, match="key must be a str, got 1"):
            VariableMonitorLinkHook(model.l1).delete_process(1)

    @pytest.mark.parametrize(
        ("key", "fn", "name"), [(1, print, "key"), ("key", None, "fn")]
    )
    def test_are_checked(self, model, key, fn, name):
        with pytest.raises(TypeError, match=name):
            VariableMonitorLinkHook(model.l1).add_process(key, fn)


class TestSeveralHooks:
    def test_at_once_need_different_names(self, model, x):
        first = VariableMonitorLinkHook(model.l1, name="first")
        second = VariableMonitorLinkHook(model.layers[1], name="second")
        with first, second:
            model(x)
        assert first.get_variable().shape == (7, 6)
        assert second.get_variable().shape == (7, 3)

    def test_of_one_name_are_refused_by_chainer(self, model):
        hooks = [VariableMonitorLinkHook(link) for link in model.layers]
        with pytest.raises(KeyError), hooks[0], hooks[1]:
            pass
        assert chainer._get_link_hooks() == {}


class TestThreads:
    def test_each_has_a_hook_of_its_own_on_one_link(self):
        # The names are the same: blocks are those of their thread.
        model, both_are_active = build(MLP), threading.Barrier(2, timeout=30)
        caught, changed = {}, {}

        def watch(factor):
            def scale(hook, args, variable):
                variable.array = factor * variable.array

            hook = VariableMonitorLinkHook(model.l1)
            hook.add_process("scale", scale)
            x = np.full((factor, 4), 0.1 * factor)
            with hook:
                both_are_active.wait()
                y = model(x)
                both_are_active.wait()
            caught[factor], changed[factor] = hook.variables, y.array

        threads = [threading.Thread(target=watch, args=(n,)) for n in (2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for factor in (2, 3):
            hidden = factor * model.l1(np.full((factor, 4), 0.1 * factor)).array
            (variable,) = caught[factor]
            assert_array_equal(variable.array, hidden)
            with chainer.using_config("train", False):
                assert_array_equal(
                    changed[factor], model.layers[1](F.tanh(hidden)).array
                )
        assert chainer._get_link_hooks() == {}


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "error", "name"),
        [
            ({"target_link": "l1"}, TypeError, "target_link"),
            ({"target_link": None}, TypeError, "target_link"),
            ({"timing": "before"}, ValueError, "timing"),
            ({"timing": None}, ValueError, "timing"),
            ({"extract_fn": "out"}, TypeError, "extract_fn"),
            ({"call": -1}, ValueError, "call"),
            ({"call": 0.5}, ValueError, "call"),
            ({"call": "first"}, ValueError, "call"),
        ],
    )
    def test_are_checked(self, model, arguments, error, name):
        with pytest.raises(error, match=name):
            VariableMonitorLinkHook(**{"target_link": model.l1, **arguments})

    def test_call_may_be_an_int_of_numpy(self, model):
        assert VariableMonitorLinkHook(model.l1, call=np.int64(1)).call == 1


def test_is_found_at_all_its_addresses():
    module = link_hooks.variable_monitor_link_hook
    assert module.VariableMonitorLinkHook is VariableMonitorLinkHook
    assert saliency.VariableMonitorLinkHook is VariableMonitorLinkHook
