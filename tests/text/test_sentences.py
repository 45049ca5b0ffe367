"""The sentences of examples/text: what their words contribute, and real reviews."""

from __future__ import annotations

import hashlib
import sys
from itertools import permutations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.servers import content, running
from tests.text.example import reviews, sentences, words

import chainer

VALENCES = {"good": 3, "awful": -3, "love": 3, "gem": 3, "wrong": -2}


def shapley_values(of_sentence: list[str]) -> np.ndarray:
    """Returns the mean change by each word over all orders, by brute force."""
    total, orders = (
        np.zeros(len(of_sentence)),
        list(permutations(range(len(of_sentence)))),
    )
    for order in orders:
        present = ["the"] * len(of_sentence)  # a neutral word
        for i in order:
            before = sentences.score_of(present, VALENCES)
            present[i] = of_sentence[i]
            total[i] += sentences.score_of(present, VALENCES) - before
    return total / len(orders)


@pytest.mark.parametrize(
    "text",
    [
        "it is good .",
        "not good",
        "never wrong , awful",
        "i do not love gem",
        "good not",
    ],
)
def test_contributions_are_shapley_values(text):
    of_sentence = text.split()
    found = sentences.contributions_of(of_sentence, VALENCES)
    assert_allclose(found, shapley_values(of_sentence), atol=1e-12)


def test_a_negation_turns_the_sign():
    assert sentences.score_of(["it", "is", "not", "good"], VALENCES) == -3
    assert sentences.score_of(["not", "it", "is", "good"], VALENCES) == 3


@pytest.fixture
def valences():
    pytest.importorskip("afinn", reason="needs afinn: pip install afinn")
    return sentences.read_valences()


def test_the_word_list(valences):
    assert len(valences) == 3382
    assert (valences["breathtaking"], valences["awful"]) == (5, -3)
    assert set(valences.values()) <= set(range(-5, 6))


def test_the_words_that_are_said_to_be_neutral_are(valences):
    templates = " ".join((*sentences.CLAUSES, *sentences.JOINTS, "do"))
    fixed = {word for word in templates.split() if word.islower() and "{" not in word}
    assert not {*fixed, *sentences.THINGS.split(), *sentences.NEGATIONS} & set(valences)
    rated = f"{sentences.ADJECTIVES} {sentences.NOUNS} {sentences.VERBS}".split()
    assert set(rated) <= set(valences)


def test_generated_sentences(valences):
    generated = sentences.generate(300, valences, seed=0)
    for sentence in generated:
        assert sentence.score == sentences.score_of(sentence.words, valences)
        assert len(sentence.contributions) == len(sentence.words)
        assert sentence.words[-1] == "."
    text = " ".join(" ".join(sentence.words) for sentence in generated)
    assert " not " in text
    assert " never " in text
    assert "{" not in text
    assert " a awful" not in text
    scores = [sentence.score for sentence in generated]
    assert min(scores) < -5
    assert max(scores) > 5


def test_one_seed_gives_the_same_sentences(valences):
    first, again, other = (sentences.generate(5, valences, s) for s in (1, 1, 2))
    assert [s.words for s in first] == [s.words for s in again]
    assert [s.words for s in first] != [s.words for s in other]


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "afinn", None)
    with pytest.raises(SystemExit, match="pip install afinn"):
        sentences.read_valences()


class TestWords:
    def test_numbers(self):
        vocabulary = words.Vocabulary([["a", "film"], ["a", "gem"]], min_count=1)
        assert len(vocabulary) == 4
        numbers = vocabulary(["a", "film", "gem", "unseen"])
        assert numbers.dtype == np.int32
        assert len(set(numbers.tolist())) == 4
        assert numbers[3] == words.UNKNOWN

    def test_rare_words_have_no_number(self):
        vocabulary = words.Vocabulary([["a", "film"], ["a", "gem"]], min_count=2)
        assert len(vocabulary) == 2
        assert vocabulary(["film", "gem"]).tolist() == [words.UNKNOWN] * 2


class TestReviews:
    train = b"1 a gem , truly\n0 dull\n"
    test = b"0 a bore .\n"

    @pytest.fixture
    def there(self, tmp_path):
        folder = tmp_path / "there"
        folder.mkdir()
        (folder / "stsa.binary.train").write_bytes(self.train)
        (folder / "stsa.binary.test").write_bytes(self.test)
        return folder

    @pytest.fixture
    def cache(self, tmp_path):
        root = chainer.dataset.get_dataset_root()
        chainer.dataset.set_dataset_root(str(tmp_path / "cache"))
        yield tmp_path / "cache"
        chainer.dataset.set_dataset_root(root)

    @property
    def checksums(self):
        return {
            f"stsa.binary.{name}": f"sha256:{hashlib.sha256(content).hexdigest()}"
            for name, content in (("train", self.train), ("test", self.test))
        }

    def test_they_are_fetched_once(self, there, cache):
        answers = {
            f"/{path.name}": content(path.read_bytes()) for path in there.iterdir()
        }
        with running(answers) as server:
            url = f"{server.address}/"
            paths = reviews.find_reviews(None, url, self.checksums)
        assert [path.read_bytes() for path in paths] == [self.train, self.test]
        assert all(cache in path.parents for path in paths)
        assert reviews.find_reviews(None, url, self.checksums) == paths

    def test_other_files_are_refused(self, there, cache):
        answers = {"/stsa.binary.train": content(self.train)}
        refused = pytest.raises(SystemExit, match=r"not the file .* with --folder")
        with running(answers) as server, refused:
            reviews.find_reviews(None, f"{server.address}/")
        assert not list(cache.rglob("stsa*"))

    def test_a_folder_is_taken_as_it_is(self, there):
        train, test = map(reviews.read_reviews, reviews.find_reviews(there))
        assert train == [(["a", "gem", ",", "truly"], 1), (["dull"], 0)]
        assert test == [(["a", "bore", "."], 0)]

    def test_a_folder_without_them(self, tmp_path):
        with pytest.raises(SystemExit, match=r"stsa.binary.train: there is no such"):
            reviews.find_reviews(tmp_path)

    def test_a_line_that_is_no_review(self, tmp_path):
        path = tmp_path / "stsa.binary.train"
        path.write_text("1 fine\n2 odd\n", encoding="utf-8")
        with pytest.raises(SystemExit, match="line 2: no class 0 or 1"):
            reviews.read_reviews(path)
