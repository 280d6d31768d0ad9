"""Names of other libraries: each gets our spelling, or hears that it is not in losslang; none gets another meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import losslang
from losslang.diagnostics.elsewhere import NAMES, NOT_HERE, OURS, key, nearest
from losslang.diagnostics.elsewhere.nearest import distance
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry

ABSENT = "not in losslang"
TRIPLET = "triplet@(pred.anchor, pred.positive, pred.negative)"
VECTORS = dict.fromkeys(
    [
        "ArcFaceLoss",
        "CosFaceLoss",
        "LargeMarginSoftmaxLoss",
        "NormalizedSoftmaxLoss",
        "P2SGradLoss",
        "SphereFaceLoss",
        "SubCenterArcFaceLoss",
    ],
    ABSENT,
)

CLASSES: dict[str, dict[str, str]] = {
    "torch.nn": {
        "AdaptiveLogSoftmaxWithLoss": ABSENT,
        "BCELoss": "bce",
        "BCEWithLogitsLoss": "bce(sigmoid)",
        "CTCLoss": ABSENT,
        "CosineEmbeddingLoss": "cosine_embedding(sign=batch.sign)",
        "CosineSimilarity": "cosine",
        "CrossEntropyLoss": "ce",
        "GaussianNLLLoss": "gaussian_nll(variance=batch.variance)",
        "HingeEmbeddingLoss": "hinge_embedding",
        "HuberLoss": "huber",
        "KLDivLoss": "kl(exp)",
        "L1Loss": "l1",
        "LinearCrossEntropyLoss": "linear_ce(head=const.head)",
        "MSELoss": "mse",
        "MarginRankingLoss": "margin_ranking(sign=batch.sign)",
        "MultiLabelMarginLoss": "multilabel_margin",
        "MultiLabelSoftMarginLoss": "bce(sigmoid)",
        "MultiMarginLoss": "multi_margin",
        "NLLLoss": "nll",
        "PairwiseDistance": ABSENT,
        "PoissonNLLLoss": "poisson_nll",
        "SmoothL1Loss": "smooth_l1",
        "SoftMarginLoss": "logistic",
        "TripletMarginLoss": TRIPLET,
        "TripletMarginWithDistanceLoss": TRIPLET,
    },
    "monai.losses": {
        "AUCMLoss": ABSENT,
        "AsymmetricFocalLoss": "unified_focal(softmax, share=1)",
        "AsymmetricFocalTverskyLoss": "unified_focal(softmax, share=0)",
        "AsymmetricUnifiedFocalLoss": "unified_focal(softmax)",
        "BarlowTwinsLoss": "barlow_twins",
        "BendingEnergyLoss": ABSENT,
        "BoundaryLoss": "boundary(sigmoid)@(pred, batch.distance)",
        "BoxGIoULoss": "giou",
        "ContrastiveLoss": "contrastive(sign=batch.sign)",
        "DeepSupervisionLoss": ABSENT,
        "DiceCELoss": "ce + dice",
        "DiceFocalLoss": "focal(sigmoid) + dice",
        "DiceLoss": "dice(sigmoid)",
        "DiffusionLoss": ABSENT,
        "FocalLoss": "focal(sigmoid)",
        "GeneralizedDiceFocalLoss": "focal(sigmoid) + gdl",
        "GeneralizedDiceLoss": "gdl(softmax)",
        "GeneralizedWassersteinDiceLoss": ABSENT,
        "GlobalMutualInformationLoss": ABSENT,
        "HausdorffDTLoss": "hausdorff_dt(sigmoid)",
        "JukeboxLoss": "spectral",
        "LocalNormalizedCrossCorrelationLoss": "lncc",
        "LogHausdorffDTLoss": "log(1 + hausdorff_dt(sigmoid))",
        "MCCLoss": "mcc(sigmoid)",
        "MaskedDiceLoss": "dice(sigmoid, mask=batch.mask)",
        "MaskedLoss": "dice(sigmoid, mask=batch.mask)",
        "MultiScaleLoss": ABSENT,
        "NACLLoss": ABSENT,
        "PatchAdversarialLoss": ABSENT,
        "PerceptualLoss": "perceptual(net=const.net)",
        "SSIMLoss": "1 - ssim",
        "SURELoss": ABSENT,
        "SoftDiceclDiceLoss": "0.5*dice(sigmoid) + 0.5*cldice",
        "SoftclDiceLoss": "cldice(sigmoid)",
        "TverskyLoss": "tversky(sigmoid)",
    },
    "smp.losses": {
        "JaccardLoss": "jaccard(sigmoid)",
        "LovaszLoss": "lovasz_softmax(softmax)",
        "SoftBCEWithLogitsLoss": "bce(sigmoid)",
        "SoftCrossEntropyLoss": "ce",
    },
    "kornia.losses": {
        "BinaryFocalLossWithLogits": "focal(sigmoid)",
        "CauchyLoss": "cauchy",
        "CharbonnierLoss": "charbonnier",
        "GemanMcclureLoss": "geman_mcclure",
        "HausdorffERLoss": "hausdorff_er(softmax)",
        "HausdorffERLoss3D": "hausdorff_er(softmax)",
        "InverseDepthSmoothnessLoss": "depth_smoothness(image=batch.image)",
        "LovaszHingeLoss": "lovasz_hinge",
        "LovaszSoftmaxLoss": "lovasz_softmax(softmax)",
        "MILossFromRef": ABSENT,
        "MILossFromRef2D": ABSENT,
        "MS_SSIMLoss": "1 - ms_ssim",
        "NMILossFromRef3D": ABSENT,
        "PSNRLoss": "-psnr",
        "SSIM3DLoss": "1 - ssim",
        "TotalVariation": "tv",
        "WelschLoss": "welsch",
    },
    "pytorch_metric_learning.losses": {
        **VECTORS,
        "AngularLoss": ABSENT,
        "CircleLoss": "circle",
        "CrossBatchMemory": ABSENT,
        "DynamicSoftMarginLoss": ABSENT,
        "FastAPLoss": ABSENT,
        "GeneralizedLiftedStructureLoss": ABSENT,
        "GenericPairLoss": ABSENT,
        "HistogramLoss": ABSENT,
        "InstanceLoss": ABSENT,
        "IntraPairVarianceLoss": ABSENT,
        "LiftedStructureLoss": ABSENT,
        "ManifoldLoss": ABSENT,
        "MarginLoss": ABSENT,
        "MultiSimilarityLoss": "multi_similarity",
        "MultipleLosses": "circle + 0.5*supcon",
        "NCALoss": ABSENT,
        "NPairsLoss": "npairs",
        "NTXentLoss": "infonce",
        "PNPLoss": ABSENT,
        "ProxyAnchorLoss": ABSENT,
        "ProxyNCALoss": ABSENT,
        "RankedListLoss": ABSENT,
        "SelfSupervisedLoss": "infonce",
        "SignalToNoiseRatioContrastiveLoss": ABSENT,
        "SmoothAPLoss": ABSENT,
        "SoftTripleLoss": ABSENT,
        "SupConLoss": "supcon",
        "ThresholdConsistentMarginLoss": ABSENT,
        "TupletMarginLoss": ABSENT,
        "VICRegLoss": "vicreg",
    },
    "timm.loss": {
        "AsymmetricLossMultiLabel": "asl(sigmoid)",
        "AsymmetricLossSingleLabel": "asl_single",
        "BinaryCrossEntropy": "bce(sigmoid)",
        "DistributionBalancedLoss": ABSENT,
        "JsdCrossEntropy": ABSENT,
        "LabelSmoothingCrossEntropy": "ce(label_smoothing=0.1)",
        "PolyBinaryCrossEntropy": ABSENT,
        "PolyCrossEntropy": "poly",
        "SoftTargetCrossEntropy": "ce",
        "TwoWayLoss": ABSENT,
        "ZlprLoss": ABSENT,
    },
    "keras.losses": {
        "BinaryCrossentropy": "bce(identity)",
        "BinaryFocalCrossentropy": "focal(identity)",
        "CTC": ABSENT,
        "CategoricalCrossentropy": "ce(identity)",
        "CategoricalFocalCrossentropy": "focal(identity)",
        "CategoricalGeneralizedCrossEntropy": "gce(identity)",
        "CategoricalHinge": "multiclass_hinge",
        "Circle": "circle",
        "Dice": "dice(identity)",
        "Hinge": "hinge",
        "Huber": "huber",
        "KLDivergence": "kl(identity)",
        "LogCosh": "log_cosh",
        "MeanAbsoluteError": "l1",
        "MeanAbsolutePercentageError": "100*mape",
        "MeanSquaredError": "mse",
        "MeanSquaredLogarithmicError": "msle",
        "Poisson": "poisson_nll(log_input=false)",
        "SparseCategoricalCrossentropy": "ce(identity)",
        "SquaredHinge": "squared_hinge",
        "Tversky": "tversky(identity)",
    },
    "mmdet.models.losses": {
        "Accuracy": "metric(1 - zero_one)",
        "AssociativeEmbeddingLoss": ABSENT,
        "BalancedL1Loss": "balanced_l1",
        "BoundedIoULoss": "bounded_iou",
        "CIoULoss": "ciou",
        "CrossEntropyCustomLoss": "ce",
        "DDQAuxLoss": ABSENT,
        "DIoULoss": "diou",
        "DistributionFocalLoss": "dfl",
        "EIoULoss": "eiou",
        "EQLV2Loss": ABSENT,
        "FocalCustomLoss": "focal(sigmoid)",
        "GHMC": "ghm_c(sigmoid)",
        "GHMR": "ghm_r",
        "GIoULoss": "giou",
        "GaussianFocalLoss": "gaussian_focal(sigmoid)",
        "IoULoss": "iou",
        "KnowledgeDistillationKLDivLoss": "kd",
        "L2Loss": "mse",
        "MarginL2Loss": ABSENT,
        "MultiPosCrossEntropyLoss": ABSENT,
        "QualityFocalLoss": "quality_focal(sigmoid)",
        "SIoULoss": "siou",
        "SeesawLoss": ABSENT,
        "TripletLoss": TRIPLET,
        "VarifocalLoss": "varifocal(sigmoid)",
    },
    "mmseg.models.losses": {
        "HuasdorffDisstanceLoss": "hausdorff_dt(softmax)",
        "OhemCrossEntropy": "ce(reduction=ohem)",
        "SiLogLoss": "silog",
    },
    "lightly.loss": {
        "DCLLoss": ABSENT,
        "DCLWLoss": ABSENT,
        "DINOLoss": ABSENT,
        "NegativeCosineSimilarity": "cosine",
        "SwaVLoss": ABSENT,
    },
}
"""The losses of each library, as their packages name them, with what is answered."""
EACH = [(library, name, wanted) for library, names in CLASSES.items() for name, wanted in names.items()]


def fix_of(text: str) -> str:
    (found,) = [mistake for mistake in losslang.check(text) if mistake.is_error]
    return found.fix


def spellings(fix: str) -> list[str]:
    """What stands in backticks in a repair, the command line apart."""
    return [text for text in re.findall(r"`([^`]*)`", fix) if not text.startswith("losslang ")]


def is_clean(program: str) -> bool:
    """A metric alone trains nothing, and so stands beside a loss; a name may be warned of."""
    whole = f"l1 + {program}" if program.startswith("metric") else program
    return not any(mistake.is_error for mistake in losslang.check(whole))


@pytest.mark.parametrize(("library", "name", "wanted"), EACH, ids=[f"{lib}.{name}" for lib, name, _ in EACH])
def test_a_class_of_another_library(library: str, name: str, wanted: str) -> None:
    """With its library before it or without, called or not, in any case of letters."""
    called = f"{library}.{name}()"
    lower = [] if current_registry().loss(name.lower()) else [name.lower()]
    for text in (name, f"{name}()", called, f"0.5*{called} + ce", f"{library}.{name}", *lower):
        (found, *_) = [mistake for mistake in losslang.check(text) if mistake.is_error]
        if text == f"{library}.{name}" and wanted == ABSENT:
            continue  # a path that begins with no root
        given = spellings(found.fix)
        if wanted == ABSENT:
            assert found.fix.startswith(ABSENT), (text, found.fix)
        elif text != name.lower():
            assert given[0] == wanted or "." in text, (text, found.fix)
        if "did you mean" not in found.fix:  # a name, which says itself what it needs
            assert all(map(is_clean, given)), (text, found.fix)


def test_a_few_hundred_names() -> None:
    assert len(EACH) >= 180


MEANINGS = [
    ("dcl", "infonce"),
    ("ArcFaceLoss", ""),
    ("NCALoss", "supcon"),
    ("ctc", ""),
    ("CTCLoss", ""),
    ("mi", ""),
    ("ece", ""),
    ("sce", "gce"),
    ("where", "ce(mask=batch.valid)"),
    ("lpips_loss", "lpips"),
    ("nce", "infonce"),
    ("tuplet", ""),
    ("ssl", None),
    ("foo", None),
    ("magic", None),
    ("cat", None),
    ("my_loss", None),
    ("custom", None),
]
"""Names, and what is offered for each: nothing where no name means the same."""


@pytest.mark.parametrize(("name", "offered"), MEANINGS, ids=[name for name, _ in MEANINGS])
def test_no_name_of_another_meaning_is_offered(name: str, offered: str | None) -> None:
    fix = fix_of(name)
    if offered is None:
        assert fix == "not in losslang: `losslang list` shows every name"
    else:
        given = [text for text in spellings(fix) if not text.startswith("pred.")]
        assert given == ([offered] if offered else [])


TYPOS = [
    ("dise", "dice"),
    ("crossentropy", "cross_entropy"),
    ("cross_entrpoy", "cross_entropy"),
    ("jacard", "jaccard"),
    ("tverksy", "tversky"),
    ("smoth_l1", "smooth_l1"),
    ("hubber", "huber"),
    ("SmoothL1", "smooth_l1"),
    ("bec", "bce"),
    ("gaussian_nl", "gaussian_nll"),
    ("lovazs_softmax", "lovasz_softmax"),
    ("BCEWithLogitLoss", "bce_with_logits"),
    ("CrosEntropyLoss", "cross_entropy"),
    ("SoftclDiceLos", "cldice(sigmoid)"),
]


@pytest.mark.parametrize(("typo", "meant"), TYPOS, ids=[typo for typo, _ in TYPOS])
def test_a_typo_finds_its_name(typo: str, meant: str) -> None:
    assert meant in spellings(fix_of(typo))


def known() -> tuple[str, ...]:
    return current_registry().names(Loss)


def misspelled(name: str) -> Iterator[str]:
    """A name with one letter dropped, doubled, or swapped with the next, but not the first."""
    for i in range(1, len(name)):
        yield name[:i] + name[i + 1 :]
        yield name[:i] + name[i] + name[i:]
        if i + 1 < len(name):
            yield name[:i] + name[i + 1] + name[i] + name[i + 2 :]


@pytest.mark.parametrize("name", [name for name in known() if len(key(name)) > 3])
def test_one_wrong_letter_finds_the_name_or_one_as_near(name: str) -> None:
    for typo in misspelled(name):
        found = nearest(typo, known())
        assert found, typo
        assert distance(key(typo), key(found)) <= distance(key(typo), key(name)), typo


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [("", "", 0), ("ce", "ce", 0), ("ce", "bce", 1), ("bec", "bce", 1), ("dcl", "gdl", 2), ("abc", "", 3)],
)
def test_distance(a: str, b: str, wanted: int) -> None:
    assert distance(a, b) == distance(b, a) == wanted


@pytest.mark.parametrize("name", [*OURS, *NAMES])
def test_every_spelling_checks_clean(name: str) -> None:
    assert is_clean({**NAMES, **OURS}[name])


@pytest.mark.parametrize("name", [name for name, absent in NOT_HERE.items() if absent.instead])
def test_what_is_offered_in_place_of_an_absent_loss_checks_clean(name: str) -> None:
    assert is_clean(NOT_HERE[name].instead)


@pytest.mark.parametrize("name", [*OURS, *NAMES, *NOT_HERE])
def test_no_name_of_ours_is_refused(name: str) -> None:
    """What is listed as another library's has no meaning here."""
    assert current_registry().loss(name) is None
