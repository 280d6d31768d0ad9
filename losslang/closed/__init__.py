"""Closed forms: losses that are polynomials in the probabilities, differentiated before they run."""

from losslang.closed.walk import Closed, closed_form

__all__ = ["Closed", "closed_form"]
