"""Recorded cases of other libraries, in our language: the same numbers, to the tolerance of their own tests.

The cases and the translations are in tests/conformance; docs/conformance.md says what became of each.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conformance.case import Case, libraries
from conformance.peers import PEERS
from conformance.run import agree, compute, result
from conformance.tensors import CaseTensor, OutsideProgram, another_batch, case_tensors, plain_tensors
from conformance.translation import Call, Inexpressible, Ours, Peer
from losslang.primitives.libraries import LIBRARIES

ROOT = Path(__file__).parents[2]
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
def test_what_is_not_said_counts_as_much_as_what_is_wrong(dtype: torch.dtype) -> None:
    """Of the losses that must be there, of cases that somebody vouches for.

    pytorch-metric-learning makes pairs and triplets of labels, which no program of ours does.
    """
    expected = [case for case in CASES if is_expected(case)]
    passed = [case for case in expected if result(case, dtype).agrees]
    assert len(expected) == 598
    assert len(passed) >= 518
    others = [case for case in expected if case.library != "pml"]
    assert sum(case.library != "pml" for case in passed) >= 0.9 * len(others)


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


# ------------------------------------------------------------------------- what a translation may do

EMBEDDINGS = next(case for case in CASES if case.library == "pml" and case.callable == "SupConLoss")
"""A case with `embeddings` (6, 2) and `labels` (6,)."""


def translated(translate: Callable[[Call], Ours]) -> Ours:
    """EMBEDDINGS by another translation."""

    def all_read(call: Call) -> Ours:
        _ = [call.get(name) for name in EMBEDDINGS.arguments]
        return translate(call)

    peer = Peer("pml")
    peer.call("SupConLoss")(all_read)
    return peer.translate(EMBEDDINGS, torch.float64)


def of_rows(change: Callable[[Tensor], object], text: str = "mse") -> Callable[[Call], Ours]:
    """A translation that hands over what `change` makes of the embeddings."""
    return lambda call: Ours(text, change(call.tensor("embeddings")), call.tensor("embeddings"))


def said_by(text: Callable[[Tensor], object]) -> Callable[[Call], Ours]:
    """A translation whose program holds what `text` reads out of the embeddings."""
    return lambda call: Ours(f"{text(call.tensor('embeddings'))}*mse", *[call.tensor("embeddings")] * 2)


VIEWED: dict[str, Callable[[Call], Ours]] = {
    "as it stands": of_rows(lambda rows: rows),
    "indexed": of_rows(lambda rows: rows[::2, [1, 0]]),
    "reshaped": of_rows(lambda rows: rows.reshape(-1, rows.shape[0]).movedim(0, 1).unsqueeze(1)),
    "repeated": of_rows(lambda rows: rows[:1].expand(rows.shape)),
    "cast": of_rows(lambda rows: rows.float()),
    "taken apart": of_rows(lambda rows: {"first": rows[0], "others": list(rows[1:].unbind())}),
    "classes": said_by(lambda rows: int(rows.shape[1])),
}
COMPUTED: dict[str, Callable[[Call], Ours]] = {
    "normalised": of_rows(lambda rows: F.normalize(rows)),
    "divided by its length": of_rows(lambda rows: rows / rows.norm(dim=1, keepdim=True)),
    "subtracted": of_rows(lambda rows: rows - 1),
    "changed in place": of_rows(lambda rows: rows.mul_(2)),
    "activated": of_rows(lambda rows: rows.softmax(1)),
    "put together": of_rows(lambda rows: torch.cat([rows, torch.zeros(1, 2)])),
    "replaced": of_rows(lambda rows: torch.zeros(rows.shape)),
    "a number": of_rows(lambda rows: 0.5),
    "rounded": of_rows(lambda rows: rows.long()),
    "chosen by another tensor": of_rows(lambda rows: rows[torch.arange(3)]),
    "made of its numbers": of_rows(lambda rows: torch.tensor(rows.tolist())),
    "made of an array": of_rows(lambda rows: torch.as_tensor(rows.numpy())),
    "pairs chosen": lambda call: Ours("mse", call.tensor("embeddings")[call.tensor("labels") == 0]),
    "one-hot made": lambda call: Ours("ce", call.tensor("embeddings"), F.one_hot(call.tensor("labels"))),
    "an empty batch": lambda call: Ours("supcon", call.tensor("embeddings")[:0], torch.zeros(0).long()),
    "a yes or no": said_by(lambda rows: 2 if (rows > 0).all() else 1),
    "a number in the program": said_by(lambda rows: rows[0, 0].item()),
    "a largest number": said_by(lambda rows: float(rows.max())),
    "a tensor in the program": said_by(lambda rows: rows[0, 0]),
    "a size in the program": said_by(lambda rows: rows.shape[0]),
    "half a size in the program": said_by(lambda rows: rows.shape[0] / 2),
    "a number of elements in the program": said_by(lambda rows: 3 * rows.numel()),
    "what is computed of sizes in the program": said_by(lambda rows: 10 - sum(rows.shape) % 4),
    "a size that is made a number": said_by(lambda rows: int(rows.shape[0])),
    "a program for this size": said_by(lambda rows: 2 if rows.shape[0] == 6 else 1),
    "a program a row": lambda call: Ours(
        " + ".join(f"mse@(pred[{i}], target)" for i, _ in enumerate(call.tensor("embeddings").unbind())),
        list(call.tensor("embeddings").unbind()),
        call.tensor("embeddings"),
    ),
    "a size among the constants": lambda call: Ours(
        "const.n*mse", *[call.tensor("embeddings")] * 2, const={"n": [call.tensor("embeddings").shape[1]]}
    ),
}


@pytest.mark.parametrize("translate", VIEWED.values(), ids=VIEWED)
def test_a_translation_may_index_and_reshape(translate: Callable[[Call], Ours]) -> None:
    assert translated(translate).text


@pytest.mark.parametrize("translate", COMPUTED.values(), ids=COMPUTED)
def test_a_translation_that_computes_is_refused(translate: Callable[[Call], Ours]) -> None:
    with pytest.raises(OutsideProgram):
        translated(translate)


def test_values_are_only_reshaped_too() -> None:
    """What is done to our result is held as what is done to the tensors of a case."""
    values = case_tensors(torch.rand(2, 3))
    for laid in (lambda v: v.mean(1), lambda v: v.sum(), lambda v: 2 * v, lambda v: v.unsqueeze(1) * v[:1]):
        with pytest.raises(OutsideProgram):
            laid(values)


def test_numbers_may_refuse_a_case_and_choose_nothing() -> None:
    """A batch for which our program is another loss is not said. In another batch the same holds of the program."""

    def refused(call: Call) -> Ours:
        assert call.refuse_where("labels", lambda labels: (labels > 7).any(), "labels above 7") is None
        call.refuse_where("labels", lambda labels: (labels < 7).any(), "labels below 7")
        return Ours("mse", call.tensor("embeddings"))

    def noted(call: Call) -> Ours:
        why = call.note_where("labels", lambda labels: (labels < 7).any(), "labels below 7")
        return Ours("2*mse" if why else "mse", call.tensor("embeddings"))

    with pytest.raises(Inexpressible, match="labels below 7"):
        translated(refused)
    with pytest.raises(OutsideProgram, match="for another batch"):
        translated(noted)


def test_another_batch_has_other_numbers_of_the_same_range() -> None:
    tensors = {"x": torch.tensor([[0.5, 2.0]]), "labels": torch.tensor([3, 5]), "alone": torch.tensor(4)}
    made = another_batch(tensors, twice=True)
    assert made["x"].shape == (2, 2)
    assert made["labels"].shape == (4,)
    assert made["x"].aminmax() != tensors["x"].aminmax()
    assert ((made["x"] >= 0.5) & (made["x"] <= 2)).all()
    assert set(made["labels"].tolist()) <= {3, 4, 5}
    assert torch.equal(made["alone"], torch.tensor(4))
    assert another_batch(tensors, twice=False)["labels"].shape == (2,)


def test_what_is_handed_over_is_a_plain_tensor_of_the_case() -> None:
    rows = torch.rand(3)
    assert type(plain_tensors(case_tensors(rows))) is Tensor
    assert type(case_tensors(rows)[1:]) is CaseTensor
    assert plain_tensors(case_tensors(rows)).data_ptr() == rows.data_ptr()
    with pytest.raises(OutsideProgram):
        plain_tensors(rows)


def test_pairs_and_triplets_of_labels_are_not_said() -> None:
    """pytorch-metric-learning makes them, and whoever makes them for us has written a part of the loss."""
    outcomes = {case.number: result(case, torch.float64) for case in CASES if case.library == "pml"}
    passed = [number for number, seen in outcomes.items() if seen.agrees]
    assert len(outcomes) == 38
    assert passed == [9, 20, 22]
    assert all(seen.ours is None for number, seen in outcomes.items() if number not in passed)


# ------------------------------------------------------------------------- the page


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
