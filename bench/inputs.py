"""Tensors of the usual kinds, from a shape: the prediction's, unless a function says otherwise."""

from __future__ import annotations

import torch
from torch import nn

from bench.libraries import meta_tensor
from bench.work import Call, Shape


def like(shape: Shape) -> Call:
    return Call(torch.randn(shape), torch.randn(shape))


def mask(shape: Shape) -> Call:
    """Logits and a target of 0 and 1."""
    return Call(torch.randn(shape), (torch.rand(shape) > 0.5).float())


def void(shape: Shape) -> Call:
    """The same, a tenth of it to be ignored."""
    call = mask(shape)
    return Call(call.pred, call.target.masked_fill(torch.rand(shape) < 0.1, 255))


def signs(shape: Shape) -> Call:
    return Call(torch.randn(shape), 2.0 * (torch.rand(shape) > 0.5) - 1)


def labels(shape: Shape) -> Call:
    """Logits (B, C, *S) and class indices (B, *S)."""
    batch, classes, *space = shape
    return Call(torch.randn(shape), torch.randint(classes, (batch, *space)))


def levels(shape: Shape) -> Call:
    """The same at four scales, as a network with deep supervision and nnU-Net's loader hand them over."""
    calls = [labels((*shape[:2], *(size >> scale for size in shape[2:]))) for scale in range(4)]
    return Call([call.pred for call in calls], [call.target for call in calls])


def metas(shape: Shape) -> Call:
    """The same as MetaTensors, which a network hands on."""
    call, meta = labels(shape), meta_tensor()
    return Call(meta(call.pred), meta(call.target))


def sequences(shape: Shape) -> Call:
    """Logits (B, T, V) and the class of each token."""
    return Call(torch.randn(shape), torch.randint(shape[-1], shape[:-1]))


def padded(shape: Shape) -> Call:
    """The same, a tenth of the labels to be ignored."""
    call = labels(shape)
    return Call(call.pred, call.target.masked_fill(torch.rand(call.target.shape) < 0.1, -100))


def log_probabilities(shape: Shape) -> Call:
    call = labels(shape)
    return Call(torch.log_softmax(call.pred, 1), call.target)


def distributions(shape: Shape) -> Call:
    """Logits and a distribution over their classes."""
    return Call(torch.randn(shape), torch.softmax(torch.randn(shape), 1))


def counts(shape: Shape) -> Call:
    """Log-rates and whole numbers."""
    return Call(torch.randn(shape), torch.poisson(torch.ones(shape)))


def with_variance(shape: Shape) -> Call:
    return Call(torch.randn(shape), torch.randn(shape), batch={"variance": torch.rand(shape) + 0.1})


def triples(shape: Shape) -> Call:
    """An anchor, and something near and far from it."""
    return Call(torch.randn(shape), batch={name: torch.randn(shape) for name in ("positive", "negative")})


def boxes(shape: Shape) -> Call:
    """Corners (B, 4) of two boxes of which most overlap."""
    low, other = torch.rand(2, *shape[:-1], 2)
    size, wide = 0.5 + torch.rand(2, *shape[:-1], 2)
    return Call(torch.cat([low, low + size], -1), torch.cat([other, other + wide], -1))


def tokens(shape: Shape) -> Call:
    """Hidden states (B, D), labels, and a head over the classes: the shape is (B, D, classes)."""
    batch, width, classes = shape
    head = nn.Linear(width, classes, bias=False)
    return Call(torch.randn(batch, width), torch.randint(classes, (batch,)), const={"head": head})
