"""Which words speak for a text, and which against it? Here the truth is known.

Trains a network of Chainer's example of text classification to rate sentences, and
explains its ratings of a test set by several methods. By default, the sentences are put
together from templates and words with known valences, so that what each word
contributes is known as well: its Shapley value, by which each method is graded, with
Spearman's rank correlation over the words of a sentence, averaged, and over all words.

    python examples/text/sentiment.py                  # nothing is downloaded
    python examples/text/sentiment.py --network cnn
    python examples/text/sentiment.py --data sst       # reviews, downloaded once

The valences are those of the package afinn. For reviews no truth is known: instead of
grades, the words are printed that speak most for and most against.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from methods import calculators, mean_embedding, token_scores
from networks import CNN, RNN, BagOfWords
from reviews import find_reviews, read_reviews
from scipy.stats import spearmanr
from sentences import WORD_LIST, generate, read_valences
from sklearn.metrics import accuracy_score, r2_score
from training import predict, train
from words import Vocabulary

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import TextVisualizer
from saliency.command_line import Parser, as_folder, at_least

import chainer
import chainer.functions as F

NETWORKS = {"rnn": RNN, "cnn": CNN, "bow": BagOfWords}
UNCERTAIN = "BayesGrad x input"  # tokens that its samples do not agree on are grey
DRAWN = ("gradient x input", "IntegratedGradients", "Occlusion", "LRP (epsilon)")
N_DRAWN = 3
EPOCHS = {"afinn": 8, "sst": 3}


class Texts(NamedTuple):
    """Texts for training or for tests.

    Attributes:
        words: The words of each.
        targets: The score (float32) or the class (int32) of each, ``(n,)``.
        contributions: What the words add to the score, for each; None if that is not
            known.
    """

    words: list[list[str]]
    targets: np.ndarray
    contributions: list[np.ndarray] | None = None


def generated_texts(n: int, valences: Mapping[str, int], seed: int) -> Texts:
    sentences = generate(n, valences, seed)
    return Texts(
        [sentence.words for sentence in sentences],
        np.array([sentence.score for sentence in sentences], np.float32),
        [sentence.contributions for sentence in sentences],
    )


def load(args: argparse.Namespace) -> tuple[Texts, Texts]:
    """Return the texts for training and for tests, and say what they are."""
    if args.data == "sst":
        parts = [read_reviews(path) for path in find_reviews(args.folder)]
        train_set, test_set = (
            Texts([w for w, _ in part], np.array([t for _, t in part], np.int32))
            for part in parts
        )
        print(
            f"Data: {len(parts[0])} + {len(parts[1])} sentences of film reviews (SST)"
        )
        return train_set, test_set
    valences = read_valences()
    print(
        f"Data: {args.n_train} + {args.n_test} generated sentences with valences of "
        f"{WORD_LIST}"
    )
    return (
        generated_texts(args.n_train, valences, 2 * args.seed),
        generated_texts(args.n_test, valences, 2 * args.seed + 1),
    )


def explain(
    model: chainer.Chain,
    sentences: Sequence[np.ndarray],
    baseline: np.ndarray,
    M: int,
    seed: int,
) -> dict[str, list[np.ndarray]]:
    """Return for each method the scores of the tokens of each sentence."""
    scores = {}
    for name, (calculator, wants_samples) in calculators(model, baseline).items():
        start = time.perf_counter()
        scores[name] = token_scores(
            calculator,
            sentences,
            M if wants_samples else 1,
            seed=seed,
            show_progress=False,
        )
        print(f"{name}: {time.perf_counter() - start:.1f} s")
    return scores


def rank_correlations(
    scores: Sequence[np.ndarray], truth: Sequence[np.ndarray]
) -> np.ndarray:
    """Return Spearman's correlation in each sentence that it is defined for.

    Those whose words all contribute the same have no order that could be found. Equal
    scores find none, and count as 0.
    """
    return np.array(
        [
            spearmanr(s, t)[0] if np.ptp(s) > 0 else 0.0
            for s, t in zip(scores, truth)
            if np.ptp(t) > 0
        ]
    )


def pairs_in_order(scores: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """Return the share of pairs of a sentence's words whose order is the true one.

    Pairs that contribute the same do not count; equal scores count as half right. A
    method that knows nothing reaches 0.5.
    """
    n_right = n_pair = 0.0
    for s, t in zip(scores, truth):
        is_above = t[:, None] > t
        difference = (s[:, None] - s)[is_above]
        n_right += np.count_nonzero(difference > 0) + (difference == 0).sum() / 2
        n_pair += len(difference)
    return n_right / n_pair


def references(truth: Sequence[np.ndarray], seed: int) -> dict[str, list[np.ndarray]]:
    """Return scores to compare with: random ones, and the best there can be.

    Most words contribute 0. No method gives exactly 0 to all of these, and in whichever
    order they come, Spearman's correlation stays below 1.
    """
    rng = np.random.default_rng(seed + 1)
    noise = [rng.standard_normal(len(of_sentence)) for of_sentence in truth]
    best = [t + 1e-6 * of_sentence for t, of_sentence in zip(truth, noise)]
    return {"random": noise, "truth, ties broken": best}


def print_grades(
    scores: Mapping[str, list[np.ndarray]], truth: Sequence[np.ndarray]
) -> None:
    """Print how well the scores of each method agree with the truth."""
    print("\n| method | mean Spearman (error) | over all words | pairs in order |")
    print("|---|---|---|---|")
    for name, of_method in scores.items():
        rho = rank_correlations(of_method, truth)
        error = rho.std(ddof=1) / np.sqrt(len(rho))
        of_all = spearmanr(np.concatenate(of_method), np.concatenate(truth))[0]
        print(
            f"| {name} | {rho.mean():.3f} ({error:.3f}) | {of_all:.3f} | "
            f"{pairs_in_order(of_method, truth):.1%} |"
        )
    print(f"({len(rho)} sentences)")


def print_words(
    scores: Mapping[str, list[np.ndarray]],
    words: Sequence[Sequence[str]],
    n: int = 8,
    min_count: int = 3,
) -> None:
    """Print the words with the highest and with the lowest mean score."""
    print("\n| method | speak for | speak against |")
    print("|---|---|---|")
    for name, of_method in scores.items():
        of_word = defaultdict(list)
        for of_sentence, scores_of_sentence in zip(words, of_method):
            for word, score in zip(of_sentence, scores_of_sentence):
                of_word[word].append(score)
        means = {w: np.mean(s) for w, s in of_word.items() if len(s) >= min_count}
        order = sorted(means, key=means.__getitem__)
        print(f"| {name} | {' '.join(order[: -n - 1 : -1])} | {' '.join(order[:n])} |")


def draw(
    columns: Mapping[str, list[np.ndarray]],
    words: list[list[str]],
    spread: list[np.ndarray],
    legends: list[str],
    out: Path,
) -> None:
    """Draw sentences by several methods as a picture and as HTML."""
    how: dict[str, Any] = {
        "title": "Which words speak for a high rating, and which against it?",
        "legends": legends,
        "errors": {UNCERTAIN: spread},
    }
    visualizer = TextVisualizer()
    visualizer.visualize(columns, words, out / "sentences.png", width=8.0, **how)
    visualizer.html(columns, words, out / "sentences.html", **how)
    print("\nPictures:")
    for name in ("sentences.png", "sentences.html"):
        print(f"  {out / name}")


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    add(
        "--data",
        choices=EPOCHS,
        default="afinn",
        help="afinn: generated sentences; sst: film reviews",
    )
    add(
        "--folder", type=as_folder, help="folder with the files of sst; else downloaded"
    )
    add("--network", choices=NETWORKS, default="rnn", help="network to train")
    of_data = ", ".join(f"{epoch} for {data}" for data, epoch in EPOCHS.items())
    add("--epoch", type=at_least(1), help=f"epochs of training (default: {of_data})")
    add(
        "--n-train",
        type=at_least(1),
        default=3000,
        help="sentences to train on (afinn)",
    )
    add("--n-test", type=at_least(2), default=300, help="sentences to test on (afinn)")
    add("--n-explain", type=at_least(2), default=200, help="sentences to explain")
    add("--M", type=at_least(1), default=16, help="samples of Smooth/BayesGrad")
    parser.add_common_arguments(out="results/text")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    np.random.seed(args.seed)  # Chainer draws its first weights from the global state

    train_set, test_set = load(args)
    is_known = test_set.contributions is not None
    vocabulary = Vocabulary(train_set.words, min_count=1 if is_known else 2)
    sentences = [vocabulary(words) for words in train_set.words]
    model = train(
        NETWORKS[args.network](len(vocabulary), dropout=0.1 if is_known else 0.5),
        list(zip(sentences, train_set.targets[:, None])),
        F.mean_squared_error if is_known else F.sigmoid_cross_entropy,
        args.epoch or EPOCHS[args.data],
        args.out,
        args.device,
    )
    predicted = predict(model, [vocabulary(words) for words in test_set.words])
    if is_known:
        print(f"\ntest R2: {r2_score(test_set.targets, predicted):.3f}\n")
    else:
        accuracy = accuracy_score(test_set.targets, predicted > 0)
        print(f"\ntest accuracy: {accuracy:.3f}\n")

    words = test_set.words[: args.n_explain]
    explained = [vocabulary(of_sentence) for of_sentence in words]
    baseline = mean_embedding(model, sentences)
    scores = explain(model, explained, baseline, args.M, args.seed)
    if is_known:
        truth = test_set.contributions[: args.n_explain]
        print_grades({**scores, **references(truth, args.seed)}, truth)
    else:
        print_words(scores, words)

    shown = [i for i, of_sentence in enumerate(words) if 10 <= len(of_sentence) <= 17]
    shown = shown[:N_DRAWN]
    spread = token_scores(
        calculators(model, baseline)[UNCERTAIN][0],
        [explained[i] for i in shown],
        max(2, args.M),
        statistic="std",
        seed=args.seed,
        show_progress=False,
    )
    columns = {name: scores[name] for name in (*DRAWN, UNCERTAIN)}
    if is_known:
        columns = {"truth": truth, **columns}
        legends = [
            f"score {test_set.targets[i]:.0f}, predicted {predicted[i]:.1f}"
            for i in shown
        ]
    else:
        probability = 1 / (1 + np.exp(-predicted))
        classes = ("negative", "positive")
        legends = [
            f"{classes[test_set.targets[i]]}, predicted positive with probability "
            f"{probability[i]:.2f}"
            for i in shown
        ]
    draw(
        {name: [of_method[i] for i in shown] for name, of_method in columns.items()},
        [words[i] for i in shown],
        spread,
        legends,
        args.out,
    )


if __name__ == "__main__":
    main()
