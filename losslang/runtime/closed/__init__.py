"""Closed forms: losses that are polynomials in the probabilities, differentiated before they run."""

from losslang.runtime.closed.evaluator import ClosedForm, ClosedFormEvaluator

__all__ = ["ClosedFormEvaluator", "ClosedForm"]
