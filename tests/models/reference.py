"""VGG and ResNet in NumPy, as PyTorch, Keras and Caffe compute them.

Each takes an 8-bit RGB photograph and weights by the names of its own format, and
returns the class scores. Written from the descriptions of those libraries, without
Chainer.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Arrays = dict[str, np.ndarray]

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)


def windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Returns ``(channel, out h, out w, size, size)`` of an image (channel, h, w)."""
    view = sliding_window_view(x, (size, size), axis=(1, 2))
    return view[:, ::stride, ::stride]


def convolve(
    x: np.ndarray, W: np.ndarray, b: np.ndarray | None = None, stride: int = 1
) -> np.ndarray:
    """Convolves an image (channel, h, w), with half of the kernel as padding."""
    pad = W.shape[2] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    seen = windows(x, W.shape[2], stride)
    n_row, n_column = seen.shape[1:3]
    patches = seen.transpose(0, 3, 4, 1, 2).reshape(W[0].size, -1)
    y = (W.reshape(len(W), -1) @ patches).reshape(len(W), n_row, n_column)
    return y if b is None else y + b[:, None, None]


def normalize(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    eps: float,
) -> np.ndarray:
    scale = gamma / np.sqrt(var + eps)
    return (x - mean[:, None, None]) * scale[:, None, None] + beta[:, None, None]


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def padded_pool(x: np.ndarray) -> np.ndarray:
    """Pools 3 x 3 windows with stride 2 within one pixel of padding."""
    x = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    return windows(x, 3, 2).max(axis=(3, 4))


def ceiled_pool(x: np.ndarray) -> np.ndarray:
    """Pools 3 x 3 windows with stride 2; the last may end beyond the image."""
    x = np.pad(x, ((0, 0), (0, 1), (0, 1)), constant_values=-np.inf)
    return windows(x, 3, 2).max(axis=(3, 4))


def for_pytorch(photograph: np.ndarray) -> np.ndarray:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = (photograph / 255.0 - mean) / std
    return x.transpose(2, 0, 1).astype(np.float32)


def for_caffe(photograph: np.ndarray) -> np.ndarray:
    x = photograph[..., ::-1] - np.array([103.939, 116.779, 123.68])
    return x.transpose(2, 0, 1).astype(np.float32)


# --- VGG ------------------------------------------------------------------------------


def vgg_of_pytorch(photograph: np.ndarray, w: Arrays, depth: int = 16) -> np.ndarray:
    h = for_pytorch(photograph)
    i = 0
    for count in CONVOLUTIONS[depth]:
        for _ in range(count):
            h = relu(convolve(h, w[f"features.{i}.weight"], w[f"features.{i}.bias"]))
            i += 2  # a ReLU
        h = windows(h, 2, 2).max(axis=(3, 4))
        i += 1
    h = h.ravel()
    for i in (0, 3):
        h = relu(w[f"classifier.{i}.weight"] @ h + w[f"classifier.{i}.bias"])
    return w["classifier.6.weight"] @ h + w["classifier.6.bias"]


def pool5_of_keras(h: np.ndarray, w: Arrays, depth: int = 16) -> np.ndarray:
    """Returns VGG's features of an image as its first convolution takes it."""
    for block, count in enumerate(CONVOLUTIONS[depth], 1):
        for i in range(1, count + 1):
            kernel, bias = (
                w[f"block{block}_conv{i}/{name}"] for name in ("kernel", "bias")
            )
            h = relu(convolve(h, kernel.transpose(3, 2, 0, 1), bias))
        h = windows(h, 2, 2).max(axis=(3, 4))
    return h


def vgg_of_keras(photograph: np.ndarray, w: Arrays, depth: int = 16) -> np.ndarray:
    h = pool5_of_keras(for_caffe(photograph), w, depth)
    h = h.transpose(1, 2, 0).ravel()  # Keras has its channels last
    for name in ("fc1", "fc2"):
        h = relu(h @ w[f"{name}/kernel"] + w[f"{name}/bias"])
    return h @ w["predictions/kernel"] + w["predictions/bias"]


def weights_of_vgg_of_pytorch(rng: np.random.Generator, depth: int = 16) -> Arrays:
    arrays: Arrays = {}
    i, n_in = 0, 3
    for count, n_out in zip(CONVOLUTIONS[depth], (*WIDTHS, 512)):
        for _ in range(count):
            arrays |= of_layer(rng, f"features.{i}", (n_out, n_in, 3, 3))
            i, n_in = i + 2, n_out
        i += 1
    for i, shape in ((0, (4096, 25088)), (3, (4096, 4096)), (6, (1000, 4096))):
        arrays |= of_layer(rng, f"classifier.{i}", shape)
    return arrays


def convolutions_of_keras(rng: np.random.Generator, depth: int = 16) -> Arrays:
    """Returns those of VGG alone."""
    arrays: Arrays = {}
    n_in = 3
    for block, (count, n_out) in enumerate(zip(CONVOLUTIONS[depth], (*WIDTHS, 512)), 1):
        for i in range(1, count + 1):
            arrays |= keras_layer(rng, f"block{block}_conv{i}", (3, 3, n_in, n_out))
            n_in = n_out
    return arrays


def weights_of_vgg_of_keras(rng: np.random.Generator, depth: int = 16) -> Arrays:
    arrays = convolutions_of_keras(rng, depth)
    arrays |= keras_layer(rng, "fc1", (25088, 4096))
    arrays |= keras_layer(rng, "fc2", (4096, 4096))
    return arrays | keras_layer(rng, "predictions", (4096, 1000))


# --- ResNet ---------------------------------------------------------------------------


def resnet_of_pytorch(photograph: np.ndarray, w: Arrays, depth: int = 50) -> np.ndarray:
    def bn(x: np.ndarray, name: str) -> np.ndarray:
        names = ("weight", "bias", "running_mean", "running_var")
        return normalize(x, *(w[f"{name}.{part}"] for part in names), eps=1e-5)

    h = convolve(for_pytorch(photograph), w["conv1.weight"], stride=2)
    h = padded_pool(relu(bn(h, "bn1")))
    for layer, count in enumerate(BLOCKS[depth], 1):
        for i in range(count):
            key = f"layer{layer}.{i}"
            stride = 2 if layer > 1 and i == 0 else 1
            y = relu(bn(convolve(h, w[f"{key}.conv1.weight"]), f"{key}.bn1"))
            y = convolve(y, w[f"{key}.conv2.weight"], stride=stride)
            y = convolve(relu(bn(y, f"{key}.bn2")), w[f"{key}.conv3.weight"])
            y = bn(y, f"{key}.bn3")
            if i == 0:
                h = convolve(h, w[f"{key}.downsample.0.weight"], stride=stride)
                h = bn(h, f"{key}.downsample.1")
            h = relu(h + y)
    return w["fc.weight"] @ h.mean(axis=(1, 2)) + w["fc.bias"]


def weights_of_resnet_of_pytorch(rng: np.random.Generator, depth: int = 50) -> Arrays:
    arrays: Arrays = {}

    def unit(conv: str, bn: str, shape: tuple[int, ...], gamma: float = 1.0) -> None:
        arrays[f"{conv}.weight"] = scaled(rng, shape, shape[1:])
        values = statistics(rng, shape[0], gamma)
        for part, value in zip(
            ("weight", "bias", "running_mean", "running_var"), values
        ):
            arrays[f"{bn}.{part}"] = value
        arrays[f"{bn}.num_batches_tracked"] = np.array(7)

    unit("conv1", "bn1", (64, 3, 7, 7))
    n_in = 64
    for layer, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS), 1):
        for i in range(count):
            key = f"layer{layer}.{i}"
            unit(f"{key}.conv1", f"{key}.bn1", (width, n_in, 1, 1))
            unit(f"{key}.conv2", f"{key}.bn2", (width, width, 3, 3))
            unit(f"{key}.conv3", f"{key}.bn3", (4 * width, width, 1, 1), gamma=0.3)
            if i == 0:
                names = f"{key}.downsample.0", f"{key}.downsample.1"
                unit(*names, (4 * width, n_in, 1, 1))
            n_in = 4 * width
    return arrays | of_layer(rng, "fc", (1000, 2048))


def resnet_of_keras(photograph: np.ndarray, w: Arrays, depth: int = 50) -> np.ndarray:
    def unit(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
        kernel = w[f"{name}_conv/kernel"].transpose(3, 2, 0, 1)
        y = convolve(x, kernel, w[f"{name}_conv/bias"], stride)
        names = ("gamma", "beta", "mean", "var")
        return normalize(y, *(w[f"{name}_bn/{part}"] for part in names), eps=1.001e-5)

    h = padded_pool(relu(unit(for_caffe(photograph), "conv1", 2)))
    for stage, count in enumerate(BLOCKS[depth], 2):
        for block in range(1, count + 1):
            key = f"conv{stage}_block{block}"
            stride = 2 if stage > 2 and block == 1 else 1
            y = relu(unit(h, f"{key}_1", stride))
            y = unit(relu(unit(y, f"{key}_2")), f"{key}_3")
            h = relu((unit(h, f"{key}_0", stride) if block == 1 else h) + y)
    return h.mean(axis=(1, 2)) @ w["predictions/kernel"] + w["predictions/bias"]


def weights_of_resnet_of_keras(rng: np.random.Generator, depth: int = 50) -> Arrays:
    arrays: Arrays = {}

    def unit(name: str, shape: tuple[int, ...], gamma: float = 1.0) -> None:
        arrays.update(keras_layer(rng, f"{name}_conv", shape))
        values = statistics(rng, shape[-1], gamma)
        for part, value in zip(("gamma", "beta", "mean", "var"), values):
            arrays[f"{name}_bn/{part}"] = value

    unit("conv1", (7, 7, 3, 64))
    n_in = 64
    for stage, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS), 2):
        for block in range(1, count + 1):
            key = f"conv{stage}_block{block}"
            if block == 1:
                unit(f"{key}_0", (1, 1, n_in, 4 * width))
            unit(f"{key}_1", (1, 1, n_in, width))
            unit(f"{key}_2", (3, 3, width, width))
            unit(f"{key}_3", (1, 1, width, 4 * width), gamma=0.3)
            n_in = 4 * width
    return arrays | keras_layer(rng, "predictions", (2048, 1000))


def resnet_of_caffe(photograph: np.ndarray, w: Arrays, depth: int = 50) -> np.ndarray:
    def unit(
        x: np.ndarray, conv: str, bn: str, scale: str, stride: int = 1
    ) -> np.ndarray:
        y = convolve(x, w[f"{conv}/W"], w.get(f"{conv}/b"), stride)
        names = (f"{scale}/gamma", f"{scale}/beta", f"{bn}/mean", f"{bn}/var")
        return normalize(y, *(w[name] for name in names), eps=1e-5)

    h = unit(for_caffe(photograph), "conv1", "bn_conv1", "scale_conv1", 2)
    h = ceiled_pool(relu(h))
    for stage, count in enumerate(BLOCKS[depth], 2):
        for letter in "abcdef"[:count]:
            stride = 2 if stage > 2 and letter == "a" else 1

            def branch(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
                key = f"{stage}{letter}_branch{name}"  # noqa: B023
                return unit(x, f"res{key}", f"bn{key}", f"scale{key}", stride)

            y = relu(branch(h, "2a", stride))
            y = branch(relu(branch(y, "2b")), "2c")
            h = relu((branch(h, "1", stride) if letter == "a" else h) + y)
    return w["fc1000/W"] @ h.mean(axis=(1, 2)) + w["fc1000/b"]


def weights_of_resnet_of_caffe(rng: np.random.Generator, depth: int = 50) -> Arrays:
    arrays: Arrays = {}

    def unit(
        names: tuple[str, str, str], shape: tuple[int, ...], gamma: float = 1.0
    ) -> None:
        conv, bn, scale = names
        arrays[f"{conv}/W"] = scaled(rng, shape, shape[1:])
        values = statistics(rng, shape[0], gamma)
        parts = (f"{scale}/gamma", f"{scale}/beta", f"{bn}/mean", f"{bn}/var")
        arrays.update(zip(parts, values))

    unit(("conv1", "bn_conv1", "scale_conv1"), (64, 3, 7, 7))
    arrays["conv1/b"] = rng.standard_normal(64).astype(np.float32)
    n_in = 64
    for stage, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS), 2):
        for letter in "abcdef"[:count]:
            branches = [
                ("2a", (width, n_in, 1, 1), 1.0),
                ("2b", (width, width, 3, 3), 1.0),
                ("2c", (4 * width, width, 1, 1), 0.3),
            ]
            if letter == "a":
                branches.append(("1", (4 * width, n_in, 1, 1), 1.0))
            for name, shape, gamma in branches:
                key = f"{stage}{letter}_branch{name}"
                unit((f"res{key}", f"bn{key}", f"scale{key}"), shape, gamma)
            n_in = 4 * width
    arrays["fc1000/W"] = scaled(rng, (1000, 2048), (2048,))
    arrays["fc1000/b"] = rng.standard_normal(1000).astype(np.float32)
    return arrays


# --- random weights -------------------------------------------------------------------


def scaled(
    rng: np.random.Generator, shape: tuple[int, ...], inputs: tuple[int, ...]
) -> np.ndarray:
    """Returns weights that keep the size of what goes through them.

    They are at most a million random numbers, over and over: to draw the 138 million
    of VGG16 takes seconds. How many they are is a prime: no row is like another one.
    """
    n_drawn = min(int(np.prod(shape)), 1_000_003)
    drawn = rng.standard_normal(n_drawn, dtype=np.float32)
    drawn *= np.float32(np.sqrt(2 / np.prod(inputs)))
    return np.resize(drawn, shape)


def of_layer(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Arrays:
    return {
        f"{name}.weight": scaled(rng, shape, shape[1:]),
        f"{name}.bias": 0.1 * rng.standard_normal(shape[0], dtype=np.float32),
    }


def keras_layer(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Arrays:
    return {
        f"{name}/kernel": scaled(rng, shape, shape[:-1]),
        f"{name}/bias": 0.1 * rng.standard_normal(shape[-1], dtype=np.float32),
    }


def statistics(
    rng: np.random.Generator, n: int, gamma: float
) -> tuple[np.ndarray, ...]:
    """Returns gamma, beta, mean and variance of batch normalization."""
    return tuple(
        array.astype(np.float32)
        for array in (
            gamma * rng.uniform(0.5, 1.5, n),
            0.1 * rng.standard_normal(n),
            0.1 * rng.standard_normal(n),
            rng.uniform(0.5, 1.5, n),
        )
    )
