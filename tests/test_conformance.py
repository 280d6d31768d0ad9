"""Recorded cases of other libraries, in our language: the same numbers, to the tolerance of their own tests.

The cases and the translations are in tests/conformance; docs/conformance.md says what became of each.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conformance.case import Case, libraries
from conformance.peers import PEERS
from conformance.run import agree, compute, result

from losslang.libraries import LIBRARIES

ROOT = Path(__file__).parent.parent
DTYPES = (torch.float32, torch.float64)
CASES = [case for library in libraries() for case in library.cases]

FIRST = {
    "sse", "mse", "half_mse", "rmse", "l1", "mape", "smape", "msle", "huber", "smooth_l1", "tukey", "log_cosh",
    "charbonnier", "quantile", "balanced_l1", "ghm_r", "ce", "nll", "bce", "balanced_bce", "focal", "quality_focal",
    "dfl", "ghm_c", "asl", "poly", "hinge", "squared_hinge", "multiclass_hinge", "multi_margin", "zero_one",
    "topk_error", "dice", "gdl", "jaccard", "tversky", "focal_tversky", "lovasz_hinge", "lovasz_softmax", "boundary",
    "hausdorff_dt", "cldice", "iou", "giou", "diou", "ciou", "eiou", "siou", "bounded_iou", "kl", "kd",
    "gaussian_nll", "poisson_nll", "contrastive", "triplet", "infonce", "cosine", "cosine_embedding",
    "margin_ranking", "perceptual", "l1_reg", "l2_reg",
}  # fmt: skip
SECOND = {
    "pseudo_huber", "cauchy", "geman_mcclure", "welsch", "barron", "wing", "huber_quantile", "mase", "silog",
    "varifocal", "gaussian_focal", "asl_single", "gce", "bi_tempered", "logistic", "mcc", "hausdorff_er",
    "unified_focal", "js", "tweedie", "supcon", "barlow_twins", "vicreg", "ssim", "ms_ssim", "psnr", "tv", "lncc",
    "hinge_embedding", "perceptron",
}  # fmt: skip
"""The losses that must be there, and those that follow; the others are welcome."""


def is_expected(case: Case) -> bool:
    """Whether a case is of the losses above, and its number is one that somebody vouches for."""
    vouched = case.kind in ("asserted", "literal")
    return vouched and set(case.loss.split(" + ")) <= FIRST | SECOND


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_gives_the_number_of_the_library(case: Case, dtype: torch.dtype) -> None:
    found = result(case, dtype)
    if found.ours is None:
        pytest.skip(found.why)
    assert found.value is not None, found.why
    if found.ours.differs:
        # Nobody vouches for such a number, and ours is another: what float32 cannot tell apart, float64 can.
        assert case.kind == "peer_output"
        assert found.value.isfinite().all()
        assert dtype == torch.float32 or not found.agrees
    else:
        wanted = case.wanted(torch.float64)
        assert found.agrees, f"{found.ours.text}\nours {found.value}\n{case.library} {wanted}"


def test_there_are_cases_of_every_library() -> None:
    assert len(CASES) == 753
    assert {case.library for case in CASES} == set(PEERS)
    assert set(PEERS) <= set(LIBRARIES)
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
def test_hardly_a_case_is_left_out(dtype: torch.dtype) -> None:
    """Of the losses that must be there, what cannot be said counts as much as what is wrong."""
    expected = [case for case in CASES if is_expected(case)]
    passed = sum(result(case, dtype).agrees for case in expected)
    assert len(expected) == 598
    assert passed >= 0.95 * len(expected)


def test_what_the_library_does_otherwise_is_another_number() -> None:
    """... where its number is had with a program that nobody means."""
    found = [(case, result(case, torch.float64)) for case in CASES]
    others = [(case, seen) for case, seen in found if seen.ours is not None and seen.ours.meant[0]]
    assert others
    for case, seen in others:
        assert seen.agrees
        assert seen.ours is not None
        value = compute(seen.ours, seen.ours.meant[0])
        assert value.isfinite().all()
        assert not agree(case, value, torch.float64)


def test_the_tolerance_can_fail() -> None:
    """A number a little off is seen, in every library and every kind of case."""
    for case in CASES:
        wanted = case.wanted(torch.float64)
        off = wanted + 0.01 * wanted.abs() + 0.01
        assert not agree(case, off, torch.float64) or not wanted.isfinite().any()


def document() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_conformance", ROOT / "docs" / "conformance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_happens_here() -> None:
    page = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    assert page == document().page(), "run `python docs/conformance.py`"
