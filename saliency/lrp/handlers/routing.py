"""Functions that hand elements on: each output element is a copy of one of an input."""

from __future__ import annotations

from typing import Any

from saliency.backprop.padding import copies_elements
from saliency.lrp.graph import Application, InputRelevance
from saliency.lrp.registry import handles

import chainer.functions as F


@handles("embedding", F.connection.embed_id.EmbedIDFunction)
def embedding(this: Application, rule: Any) -> InputRelevance:
    """Relevance of a token: the sum over its embedding."""
    r = this.output_relevance
    r_ids = r.sum(axis=-1) if this.active[0] else None
    r_weights = this.gradient()[1] if this.active[1] else None
    return [r_ids, r_weights]


@handles(
    "routing",
    F.array.as_strided.AsStrided,
    F.array.broadcast.Broadcast,
    F.array.broadcast.BroadcastTo,
    F.array.cast.Cast,
    F.array.concat.Concat,
    F.array.copy.Copy,
    F.array.depth2space.Depth2Space,
    F.array.diagonal.Diagonal,
    F.array.dstack.Dstack,
    F.array.expand_dims.ExpandDims,
    F.array.flip.Flip,
    F.array.fliplr.FlipLR,
    F.array.flipud.FlipUD,
    F.array.get_item.GetItem,
    F.array.hstack.Hstack,
    F.array.im2col.Im2Col,
    F.array.moveaxis.Moveaxis,
    F.array.pad_sequence.PadSequence,
    F.array.permutate.Permutate,
    F.array.repeat.Repeat,
    F.array.reshape.Reshape,
    F.array.rollaxis.Rollaxis,
    F.array.select_item.SelectItem,
    F.array.separate.Separate,
    F.array.space2depth.Space2Depth,
    F.array.split_axis.SplitAxis,
    F.array.squeeze.Squeeze,
    F.array.stack.Stack,
    F.array.swapaxes.Swapaxes,
    F.array.tile.Tile,
    F.array.transpose.Transpose,
    F.array.transpose_sequence.TransposeSequence,
    F.array.vstack.Vstack,
    F.array.where.Where,
    F.connection.shift.Shift,
    F.math.identity.Identity,
    F.noise.zoneout.Zoneout,
    keeps_gates=True,
    hint="elements of the inputs, moved, copied, selected or reshaped",
)
def routing(this: Application, rule: Any) -> InputRelevance:
    """Relevance goes where each element came from, and is added up there."""
    gradient = this.gradient()
    if all(g is None for g in gradient):
        raise ValueError(
            f"no relevance goes through {this.label}: only its indexes or conditions "
            "depend on the target"
        )
    return gradient


@handles("padding", F.array.pad.Pad, keeps_gates=True)
def padding(this: Application, rule: Any) -> InputRelevance:
    """Relevance goes to the element that was copied, or stays with the constant."""
    function = this.function
    if not (function.mode == "constant" or copies_elements(function)):
        raise ValueError(
            f"no relevance goes through {this.label} of mode {function.mode!r}, which "
            "does not copy elements; use 'constant', 'edge', 'reflect', 'symmetric' "
            "or 'wrap'"
        )
    return routing(this, rule)
