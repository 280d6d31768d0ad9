"""A mark for tests whose processes fork after torch.compile has run, and differentiate in the child."""

from __future__ import annotations

import pytest
import torch

VERSION = tuple(int(number) for number in torch.__version__.split(".")[:2])
differentiates_in_a_fork = pytest.mark.skipif(
    VERSION >= (2, 14),
    reason="torch 2.14.1 may abort there, in its autograd engine: 'Invalid thread pool' (2.8.0 and 2.13.0 do not)",
)
