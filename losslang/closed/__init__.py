"""Closed forms: losses that are polynomials in the probabilities, differentiated before they run."""

from losslang.closed.walk import Closed, ClosedForm, Prepared

__all__ = ["Closed", "ClosedForm", "Prepared"]
