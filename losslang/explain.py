"""The public `losslang.explain` is looked up here; the work is done in `explainer`.

A module and a function cannot share the name `losslang.explain`: whoever imported the module would
find the function gone.
"""

from losslang.explainer import explain

__all__ = ["explain"]
