"""The names of ImageNet's classes, and which of them a network sees."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saliency import class_index_of, imagenet_labels, top_classes

import chainer


def test_labels_are_a_thousand_different_names_in_imagenets_order():
    labels = imagenet_labels()
    assert labels.shape == (1000,)
    # Known classes all over the list, as the challenge numbers them.
    known = {
        0: "tench, Tinca tinca",
        207: "golden retriever",
        263: "Pembroke, Pembroke Welsh corgi",
        281: "tabby, tabby cat",
        430: "basketball",
        654: "minibus",
        779: "school bus",
        999: "toilet tissue, toilet paper, bathroom tissue",
    }
    assert {i: labels[i] for i in known} == known
    assert all(label.strip() == label and label for label in labels)


class TestClassIndex:
    @pytest.mark.parametrize(
        "name, index",
        [
            ("Pembroke, Pembroke Welsh corgi", 263),
            ("pembroke welsh corgi", 263),
            (" School Bus ", 779),
        ],
    )
    def test_of_a_name(self, name, index):
        assert class_index_of(name) == index

    def test_of_labels_of_ones_own(self):
        assert class_index_of("b", ["a", "b"]) == 1

    def test_an_unknown_name_gets_suggestions(self):
        with pytest.raises(ValueError, match=r"'corgi' is no class.*263: Pembroke"):
            class_index_of("corgi")

    def test_a_name_far_from_all(self):
        with pytest.raises(ValueError, match=r"'xyzzy' is no class's name$"):
            class_index_of("xyzzy")

    def test_a_name_of_several_classes(self):
        """Cranes are birds, and machines."""
        with pytest.raises(ValueError, match=r"several classes.*134: .*517: "):
            class_index_of("crane")


class TestTopClasses:
    @pytest.mark.parametrize("form", [np.asarray, chainer.Variable])
    def test_are_those_of_the_softmax(self, form):
        scores = np.array([[1.0, 3.0, 2.0, -1.0]])
        best = top_classes(form(scores), 3, ["a", "b", "c", "d"])
        assert [(c.index, c.label) for c in best] == [(1, "b"), (2, "c"), (0, "a")]
        expected = np.exp(scores[0]) / np.exp(scores[0]).sum()
        assert_allclose([c.probability for c in best], expected[[1, 2, 0]])

    def test_of_large_scores_are_finite(self):
        (best,) = top_classes(np.array([1e4, -1e4]), 1, ["a", "b"])
        assert best.probability == 1

    def test_are_printed_with_probability_name_and_index(self):
        (best,) = top_classes(np.array([0.0, 0.0]), 1, ["a", "b"])
        assert str(best).strip() == "50.0%  a (0)"

    @pytest.mark.parametrize("shape", [(), (0,), (2, 1000), (1, 1, 1000)])
    def test_scores_of_another_shape(self, shape):
        with pytest.raises(ValueError, match="scores must be those of one example"):
            top_classes(np.zeros(shape))

    def test_labels_of_another_number(self):
        with pytest.raises(ValueError, match=r"each of the 3 classes, got 1000"):
            top_classes(np.zeros(3))

    @pytest.mark.parametrize("k", [0, -1, 1.5])
    def test_a_bad_number(self, k):
        with pytest.raises(ValueError, match="k must be an int >= 1"):
            top_classes(np.zeros(1000), k)
