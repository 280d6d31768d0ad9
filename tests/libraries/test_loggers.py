"""Log keys in the loggers that refuse or rewrite names. `make test-all` installs them.

tests/meaning/test_keys.py holds many more keys to the same rules without the libraries.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest

from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze

pytestmark = pytest.mark.slow

PROGRAM = """\
gan = bce(sigmoid)@d + (1 - ssim)@image
rec = l1@aux[-1]
gan + rec + mse@aux[1:] + mse@aux[1:] + (l1/mse)@depth + (-pred.a)**2 + pred.losses[0]
+ metric(zero_one)@cls + sqrt(mean(batch.d_fake)) + 1e-5
"""
BEFORE = ("zero_one@cls", "l1@aux[0]", "sqrt(mse)", "mse*ce")
"""Keys of the first version."""


def names() -> list[str]:
    meaning = analyze(Source(PROGRAM)).meaning
    assert meaning is not None
    assert len(meaning.terms) == 11
    return [term.name for term in meaning.terms]


def library(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = name.partition(".")[0]
        pytest.importorskip(
            package, reason=f"{package} is not installed: `make test-all`", exc_type=ImportError
        )
        return importlib.import_module(name)


def test_mlflow_takes_every_key() -> None:
    validate = library("mlflow.utils.validation")._validate_metric_name
    for name in names():
        validate(name)
    for name in BEFORE:
        with pytest.raises(Exception, match="Names may only contain"):
            validate(name)


def test_a_writer_of_tensorboard_rewrites_no_key() -> None:
    """torch's own writes any name; tensorboardX rewrites, as TensorFlow does."""
    clean = library("tensorboardX.summary")._clean_tag
    for name in names():
        assert clean(name) == name
    for name in BEFORE:
        assert clean(name) != name
