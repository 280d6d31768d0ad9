"""Large tensors, block by block: one pass forward, one pass backward, nothing kept between them."""

from losslang.blocks.maps import Maps, looks
from losslang.blocks.split import Walk, split
from losslang.blocks.sums import Sum
from losslang.blocks.walk import Form, Totals, Walker

__all__ = ["Form", "Maps", "Sum", "Totals", "Walk", "Walker", "looks", "split"]
