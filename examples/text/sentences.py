"""Sentences whose words are known to contribute so and so much to a score."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

import numpy as np

#: The word list in the package afinn: Nielsen (2011), "A new ANEW: evaluation of a word
#: list for sentiment analysis in microblogs", arXiv:1103.2903, in its latest version.
#: It is shared under the Open Database License.
WORD_LIST = "AFINN-en-165.txt"

NEGATIONS = ("not", "never")

# Words that reviews are made of; those that the word list does not rate are left out.
ADJECTIVES = (
    "amazing annoying awesome awful awkward bad beautiful bizarre boring breathtaking "
    "brilliant careless charming chaotic cheerful clever confusing cool cute "
    "delightful depressing disappointing disgusting dull dumb embarrassing enjoyable "
    "exciting fabulous fantastic fascinating flawless foolish fresh fun funny "
    "generous glorious gloomy good great gripping hilarious hopeless horrible "
    "imaginative impressive inspiring insulting intelligent intense interesting "
    "irritating joyful lame lazy lovely memorable miserable misleading nice offensive "
    "outstanding painful pathetic perfect pleasant pointless poor remarkable rich "
    "ridiculous sad scary silly sincere sloppy smart solid strange strong stunning "
    "stupid superb suspicious terrible terrific thoughtful tragic ugly unpleasant "
    "useless warm weak wonderful worthless worthy wrong"
)
NOUNS = (
    "bore delight disappointment disaster disgrace embarrassment failure fiasco fraud "
    "gem hoax joy masterpiece mess miracle pleasure scandal success tragedy treasure "
    "triumph waste win"
)
VERBS = (
    "abhor admire adore appreciate celebrate condemn dislike dread enjoy fear forgive "
    "hate ignore like love recommend regret respect support trust"
)
THINGS = (
    "acting actor actress book camera cast dialogue director ending film music plot "
    "scene script sequel sound story"
)

# Curly brackets stand for a word of a kind, NOT for a negation or nothing.
CLAUSES = (
    "the {thing} was NOT {adjective}",
    "the {thing} and the {thing} were NOT {adjective}",
    "it is NOT {adjective}",
    "it has a {adjective} {thing}",
    "this {adjective} {thing} was a {noun}",
    "the {thing} is NOT a {noun}",
    "i DO {verb} the {thing}",
    "many people DO {verb} this {thing}",
    "we saw the {thing} on monday",
    "he talks about the {thing}",
)
JOINTS = (",", "and", "but", ", and", "; also")
P_NEGATED = 0.35


class Sentence(NamedTuple):
    """A sentence with what its words contribute.

    Attributes:
        words: The words, in lower case; punctuation marks are words.
        contributions: What each adds to the score, ``(n_word,)``.
    """

    words: list[str]
    contributions: np.ndarray

    @property
    def score(self) -> float:
        """The score of the sentence."""
        return float(self.contributions.sum())


def read_valences() -> dict[str, int]:
    """Return the valences of the word list of afinn, from -5 to 5."""
    try:
        text = files("afinn").joinpath("data", WORD_LIST).read_text(encoding="utf-8")
    except ModuleNotFoundError:
        raise SystemExit(
            "These sentences need the word list of the package afinn: "
            "pip install afinn. For reviews of films instead: --data sst"
        ) from None
    lines = (line.split("\t") for line in text.splitlines() if line)
    return {word: int(valence) for word, valence in lines}


def score_of(words: list[str], valences: Mapping[str, int]) -> int:
    """Return the sum of the valences, each negated right behind a negation."""
    return sum(
        -valences.get(word, 0) if before in NEGATIONS else valences.get(word, 0)
        for before, word in zip(["", *words], words)
    )


def contributions_of(words: list[str], valences: Mapping[str, int]) -> np.ndarray:
    """Return the Shapley value of each word in `score_of`, ``(n_word,)``.

    It is what a word changes when the words of the sentence are put in one by one in
    the place of neutral ones, on average over all orders (Shapley 1953, "A value for
    n-person games"). So the valence v of a word is its contribution, and in "not good"
    it is -v for the negation and 0 for the word: it brings v if it comes first, and -v
    if it comes second.
    """
    contributions = np.zeros(len(words))
    for i, word in enumerate(words):
        valence = valences.get(word, 0)
        is_negated = i > 0 and words[i - 1] in NEGATIONS
        if is_negated:
            contributions[i - 1] -= valence
        else:
            contributions[i] += valence
    return contributions


def generate(
    n: int, valences: Mapping[str, int], seed: int, max_clause: int = 3
) -> list[Sentence]:
    """Return sentences of two clauses or more.

    Args:
        n: How many.
        valences: The words that have one, and which.
        seed: One seed gives the same sentences.
        max_clause: The largest number of clauses.
    """
    rng = np.random.default_rng(seed)
    kinds = {
        "adjective": [word for word in ADJECTIVES.split() if word in valences],
        "noun": [word for word in NOUNS.split() if word in valences],
        "verb": [word for word in VERBS.split() if word in valences],
        "thing": [word for word in THINGS.split() if word not in valences],
    }
    sentences = []
    for _ in range(n):
        words: list[str] = []
        for i in range(rng.integers(2, max_clause + 1)):
            words += rng.choice(JOINTS).split() if i else []
            words += _clause(rng, kinds)
        words.append(".")
        sentences.append(Sentence(words, contributions_of(words, valences)))
    return sentences


def _clause(rng: np.random.Generator, kinds: Mapping[str, list[str]]) -> list[str]:
    negation = str(rng.choice(NEGATIONS)) if rng.random() < P_NEGATED else ""
    do = "do not" if negation == "not" else negation
    words: list[str] = []
    for word in str(rng.choice(CLAUSES)).split():
        if word == "NOT":
            words += negation.split()
        elif word == "DO":
            words += do.split()
        elif word.startswith("{"):
            words.append(str(rng.choice(kinds[word.strip("{}")])))
        else:
            words.append(word)
    return [
        "an" if word == "a" and after[0] in "aeiou" else word
        for word, after in zip(words, [*words[1:], "."])
    ]
