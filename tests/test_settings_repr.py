"""How objects print that consist of settings."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from saliency.settings_repr import repr_of_settings


class Settings:
    """Parameters of every kind but variadic ones."""

    def __init__(self, model, size=3, fill=np.nan, scaler=None, *, seed=None, name):
        self.model = model
        self.size = size
        self.fill = fill
        self.scaler = scaler
        self.seed = seed
        self.name = name

    __repr__ = repr_of_settings


NAMES = {"Settings": Settings, "nan": np.nan, "array": np.array, "int64": np.int64}


def test_defaults_are_left_out():
    assert repr(Settings("m", name="n")) == "Settings('m', name='n')"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"size": 5},
        {"size": 3.0},  # equal to the default, but of another type
        {"size": (1, 2), "seed": 0},
        {"fill": 0.0},
        {"fill": np.array([1.0, 2.0])},
        {"fill": np.array([[1, 2], [3, 4]])},
        {"scaler": abs},
        {"name": "two  spaces\nand a line"},
        {"model": Settings(None, 4, name="inner")},
    ],
    ids=str,
)
def test_it_is_a_call_that_makes_the_same(changes):
    settings = Settings(**{"model": [1, 2], "name": "n", **changes})
    text = repr(settings)
    twin = eval(text, NAMES)
    assert "\n" not in text
    assert repr(twin) == text
    assert set(vars(twin)) == set(vars(settings))
    for name, value in vars(settings).items():
        if isinstance(value, Settings):
            assert repr(vars(twin)[name]) == repr(value)
        else:
            np.testing.assert_equal(vars(twin)[name], value)


def test_some_are_printed_at_their_default():
    text = repr_of_settings(Settings("m", name="n"), always=("size", "seed"))
    assert text == "Settings('m', size=3, seed=None, name='n')"


def test_what_is_set_later_is_printed():
    settings = Settings("m", name="n")
    settings.size = 9
    assert repr(settings) == "Settings('m', size=9, name='n')"
    settings.size = 3
    assert repr(settings) == "Settings('m', name='n')"


def test_the_repr_tells_settings_apart():
    texts = {repr(Settings("m", size, name="n")) for size in (3, 4, 3.0, True, "3")}
    assert len(texts) == 5


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.square, "square"), (np.mean, "mean"), (dict, "dict"), ("".join, "str.join")],
)
def test_functions_and_classes_are_printed_by_their_name(value, text):
    assert repr(Settings(0, scaler=value, name="")) == (
        f"Settings(0, scaler={text}, name='')"
    )


def test_a_signature_of_the_class_is_that_of_the_constructor():
    class Described(Settings):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

        __signature__ = inspect.signature(Settings)

    assert repr(Described("m", 7, name="n")) == "Described('m', size=7, name='n')"


def test_variadic_parameters_are_left_out():
    class Variadic:
        def __init__(self, first, *rest, **options):
            self.first = first

    assert repr_of_settings(Variadic(1, 2, x=3)) == "Variadic(1)"


def test_a_parameter_that_is_no_attribute():
    class Forgetful:
        def __init__(self, size):
            pass

    with pytest.raises(AttributeError, match="size"):
        repr_of_settings(Forgetful(3))
