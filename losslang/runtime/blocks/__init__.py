"""Large tensors, block by block: one pass forward, one pass backward, nothing kept between them."""

from losslang.runtime.blocks.cut import workers
from losslang.runtime.blocks.maps import Maps, looks_at
from losslang.runtime.blocks.split import Walk, split
from losslang.runtime.blocks.sums import Sum
from losslang.runtime.blocks.walk import Form, Totals, Walker

__all__ = ["Form", "Maps", "Sum", "Totals", "Walk", "Walker", "looks_at", "split", "workers"]
