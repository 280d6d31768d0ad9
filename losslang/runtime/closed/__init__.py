"""Closed forms: losses that are polynomials in the probabilities, differentiated before they run."""

from losslang.runtime.closed.evaluator import Closed, ClosedForm, Prepared

__all__ = ["Closed", "ClosedForm", "Prepared"]
