"""One module a library: its constructors, argument by argument, in our language."""

from __future__ import annotations

import torch

from conformance.case import Case
from conformance.peers.fvcore import fvcore
from conformance.peers.keras import keras
from conformance.peers.kornia import kornia
from conformance.peers.lightly import lightly
from conformance.peers.mmdet import mmdet
from conformance.peers.monai_compounds import monai
from conformance.peers.neuralforecast import neuralforecast
from conformance.peers.optax import optax
from conformance.peers.pml import pml
from conformance.peers.pytorch import pytorch
from conformance.peers.robust_loss import robust_loss
from conformance.peers.smp import smp
from conformance.peers.torchvision import torchvision
from conformance.translation import Ours, Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        fvcore, keras, kornia, lightly, mmdet, monai, neuralforecast, optax, pml, pytorch, robust_loss, smp,
        torchvision,
    )
}  # fmt: skip


def translate(case: Case, dtype: torch.dtype) -> Ours:
    """A case in our language. Raises Inexpressible where it has no words for it."""
    return PEERS[case.library].translate(case, dtype)
