"""Emits the checks that tensors are of a kind that the preset of `like=` was compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from losslang.meaning.meaning import Apply, Input
from losslang.plan.plan import Argument

if TYPE_CHECKING:
    from losslang.plan.lower.align import Aligned


def check_compared(own: Aligned, target: Argument) -> None:
    """Emits the checks that the tensors are of a kind that the preset of `like=` was compared with."""
    like = own.use.like
    if like is None:
        return
    preset, site = own.loss.like[like.library], own.site("like")
    is_given = own.activation.name == "identity"
    # Channels that are activated one by one do not add up to 1.
    apart = preset.distribution and own.over == "element" and not is_given
    channels = (1,) if apart else preset.channels
    index = own.use.get("ignore_index")
    if preset.looks:
        own.emit(
            "check:compared",
            own.pred,
            target,
            site=site,
            library=like.library,
            ranks=preset.ranks,
            channels=channels,
            several=preset.several,
            truth=preset.truth,
        )
    pos = own.use.get("pos_weight")
    if preset.takes_option("pos_weight") and isinstance(pos, (Input, Apply, tuple)):
        given = (
            own.emit("constant", values=tuple(map(float, cast("tuple[float, ...]", pos))))
            if isinstance(pos, tuple)
            else own.out.tensor(pos)
        )
        own.emit("check:along", given, own.pred, site=site, library=like.library)
    if preset.indexed and index is not None and index != own.loss.ignore_index:
        own.emit("check:indexed", own.pred, target, site=site, library=like.library)
    if preset.distribution and is_given:
        own.emit("check:distribution", own.pred, site=site, check=True, library=like.library)
    if preset.hard:
        own.emit("check:hard", target, site=site, check=True, library=like.library, index=index)
