"""Does a network cheat? A planted watermark is found by clustering heatmaps.

Some training images of one class get a watermark, as the horses of Lapuschkin et al.
(2019) had the tag of their photographer. The network learns to look at it. Spectral
relevance analysis (SpRAy) finds that out without looking at the images: the heatmaps of
the class are clustered, and one of the clusters has all its relevance on the mark:

    python examples/lrp/spray.py
    python examples/lrp/spray.py --class 3 --share 0.2 --rule alpha2_beta1
    python examples/lrp/spray.py --data cifar10 --images 15000 --epoch 8

The default is scikit-learn's digits, without a download.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from data import Images, load_colour_images, load_digits
from matplotlib.figure import Figure
from networks import CNN, UnitNet
from scipy.sparse import csgraph
from sklearn.cluster import SpectralClustering
from sklearn.manifold import TSNE
from sklearn.neighbors import kneighbors_graph
from training import add_epoch, add_rule, begin, parser, scores_of, train

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import FilterVisualizer, LRPCalculator
from saliency.command_line import as_ratio, at_least
from saliency.metrics.truths.planted_watermark import Watermark, marked

import chainer

MOST_CLUSTERS = 8
N_NEIGHBOR = 8  # of each heatmap, in the graph that is cut
WEAK = 1e-6
NEAR_0 = 0.01  # of the eigenvalues, which lie between 0 and 2
SIDE = 8  # heatmaps are downsized to about so many pixels
MOST_EXPLAINED = 1000
N_MAP = 64  # of each convolution of the network for colours


def downsized(maps: np.ndarray) -> np.ndarray:
    """Return heatmaps ``(n, h, w)`` as means over blocks, one row of numbers each.

    Each is divided by its largest magnitude, so that maps are compared by where their
    relevance is, and not by how much of it there is.
    """
    n, height, width = maps.shape
    block = max(1, height // SIDE)
    rows, columns = height // block, width // block
    cut = maps[:, : rows * block, : columns * block]
    small = cut.reshape(n, rows, block, columns, block).mean(axis=(2, 4))
    flat = small.reshape(n, -1)
    largest = np.abs(flat).max(axis=1, keepdims=True)
    return flat / np.where(largest > 0, largest, 1)


def spectral_clusters(vectors: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster heatmaps by SpRAy, into as many clusters as the eigengap says.

    Args:
        vectors (array): ``(n, n_pixel)``.
        seed (int): Of what k-means begins with.

    Returns:
        tuple: The cluster of each, ``(n,)``, and the smallest eigenvalues of the
        normalized Laplacian of the graph of nearest neighbours. As many of them are
        near 0 as there are clusters: the largest gap, as a ratio, is behind these.
    """
    graph = kneighbors_graph(vectors, N_NEIGHBOR, include_self=True)
    # Weak edges between all keep the graph in one piece, for a unique embedding.
    affinity = (0.5 * (graph + graph.T)).toarray() + WEAK
    laplacian = csgraph.laplacian(affinity, normed=True)
    eigenvalues = np.linalg.eigvalsh(laplacian)[: MOST_CLUSTERS + 1]
    # One cluster would say nothing, so that the first gap does not count.
    n_cluster = 2 + int(np.argmax(eigenvalues[2:] / (eigenvalues[1:-1] + NEAR_0)))
    clustering = SpectralClustering(
        n_cluster, affinity="precomputed", random_state=seed
    )
    return clustering.fit_predict(affinity), eigenvalues


def purity(clusters: np.ndarray, has_mark: np.ndarray) -> tuple[int, float, float]:
    """Return the cluster of the mark, its precision and its recall.

    It is the one in which images with the mark are most frequent.
    """
    shares = [has_mark[clusters == c].mean() for c in range(clusters.max() + 1)]
    found = int(np.argmax(shares))
    return found, shares[found], (clusters[has_mark] == found).mean()


def draw(
    maps: np.ndarray,
    clusters: np.ndarray,
    has_mark: np.ndarray,
    eigenvalues: np.ndarray,
    seed: int,
    path: Path,
) -> None:
    """Draw heatmaps as points, the eigenvalues, and the mean map of each cluster."""
    points = TSNE(random_state=seed, init="pca").fit_transform(downsized(maps))
    n_cluster = clusters.max() + 1
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2), width_ratios=(3, 2))
    ax = figure.add_subplot(grid[0, 0])
    for c in range(n_cluster):
        for is_marked, symbol in ((False, "o"), (True, "x")):
            chosen = (clusters == c) & (has_mark == is_marked)
            ax.scatter(*points[chosen].T, s=22, marker=symbol, color=f"C{c}")
    ax.set(title="Heatmaps by t-SNE; colours are clusters, crosses have the mark")
    ax.set(xticks=[], yticks=[])
    ax = figure.add_subplot(grid[0, 1])
    number = np.arange(1, len(eigenvalues) + 1)
    ax.plot(number, eigenvalues, "o-", color="0.3")
    ax.axvline(
        n_cluster + 0.5, color="C3", linestyle="--", label=f"{n_cluster} clusters"
    )
    ax.set(title="Eigenvalues of the Laplacian", xlabel="number", ylim=(0, None))
    ax.legend()
    members = [clusters == c for c in range(n_cluster)]
    means = [maps[chosen].mean(axis=0) for chosen in members]
    labels = [
        f"{c}: {chosen.sum()} images, {has_mark[chosen].mean():.0%} marked"
        for c, chosen in enumerate(members)
    ]
    FilterVisualizer().visualize(
        np.stack([mean / np.abs(mean).max() for mean in means]),
        title="Mean relevance of each cluster, on a scale of its own",
        n_column=n_cluster,
        labels=labels,
        unit="share of the largest",
        ax=figure.add_subplot(grid[1, :]),
    )
    figure.savefig(path, dpi=110)


def main() -> None:
    arguments = parser(__doc__, "lrp_spray", data="cifar10")
    arguments.set_defaults(data="digits")
    add_epoch(arguments, large=8, small=20)
    add_rule(arguments, "epsilon")
    add = arguments.add_argument
    add("--class", dest="label", type=int, choices=range(10), default=8, help="marked")
    add("--share", type=as_ratio, default=0.3, help="of its images with the mark")
    add("--images", type=at_least(100), default=10_000, help="to train on, at most")
    args = arguments.parse_args()
    begin(args)

    is_small = args.data == "digits"
    images = load_digits("digits") if is_small else load_colour_images(args.data)
    images = images._replace(
        x_train=images.x_train[: args.images], t_train=images.t_train[: args.images]
    )
    name = images.classes[args.label]
    mark = Watermark.fitting(images.x_train)
    labelled = np.flatnonzero(images.t_train == args.label)
    x, has_mark = marked(images.x_train, labelled, mark, args.share, args.seed)
    model = CNN() if is_small else UnitNet(N_MAP)
    train(model, images._replace(x_train=x), args)
    report_cheating(model, images, mark, args.label)

    of_class = np.flatnonzero(images.t_train == args.label)[:MOST_EXPLAINED]
    calculator = LRPCalculator(model, class_index=args.label, rule=args.rule)
    maps = calculator.compute(x[of_class], show_progress=False)[0].sum(axis=1)
    clusters, eigenvalues = spectral_clusters(downsized(maps), args.seed)
    has_mark = has_mark[of_class]
    print(f"\n{len(maps)} heatmaps of {name} fall into {clusters.max() + 1} clusters:")
    for c in range(clusters.max() + 1):
        members = clusters == c
        magnitude = np.abs(maps[members]).mean(axis=0)
        on_mark = magnitude[: mark.side, : mark.side].sum() / magnitude.sum()
        print(
            f"  cluster {c}: {members.sum()} images, {on_mark:.0%} of the relevance in "
            f"the corner; {has_mark[members].mean():.0%} have the mark"
        )
    found, precision, recall = purity(clusters, has_mark)
    print(
        f"the mark's cluster is {found}: {precision:.1%} of it have the mark, and it "
        f"has {recall:.1%} of those that do"
    )
    path = args.out / "spray.png"
    draw(maps, clusters, has_mark, eigenvalues, args.seed, path)
    print(f"\nPicture: {path}")


def report_cheating(
    model: chainer.Chain, images: Images, mark: Watermark, label: int
) -> None:
    """Print what the mark makes of test images that show something else."""
    others = images.x_test[images.t_test != label]
    name = images.classes[label]
    for how, x in (("without", others), ("with", mark.on(others))):
        is_read = scores_of(model, x).argmax(axis=1) == label
        print(f"test images of others {how} the mark: {is_read.mean():.1%} are {name}")


if __name__ == "__main__":
    main()
