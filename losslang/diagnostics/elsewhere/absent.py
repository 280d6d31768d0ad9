"""Well-known losses that losslang does not have: what each is, and what may be written in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Absent(NamedTuple):
    """What a loss is, in a few words, and a program that serves in its place, if there is one."""

    what: str
    instead: str = ""


CLASS_VECTORS = Absent("a softmax over angles to class vectors that it learns")
PROXIES = Absent("a loss of distances to one learned vector for each class")
RANKING = Absent("a smoothed rank of all pairs of a batch")
MINED = Absent("a margin loss of pairs that it mines from a batch")
MUTUAL = Absent("the mutual information of two images")
GAN = Absent("the loss of a GAN", "bce(sigmoid, target=1)")
WRAPPER = Absent("a loss around another one")
RULES = Absent("a measure, not a loss to train on")

NOT_HERE: Mapping[str, Absent] = {
    "ctc": Absent("the negative log-likelihood of a sequence over all its alignments"),
    "rnnt": Absent("the negative log-likelihood of a sequence over all its alignments"),
    "AdaptiveLogSoftmaxWithLoss": Absent("a softmax over clusters of rare classes, with a layer of its own"),
    "crf": Absent("the negative log-likelihood of a sequence under learned transitions"),
    "pairwise_distance": RULES,
    # metric learning
    "ArcFaceLoss": CLASS_VECTORS,
    "SubCenterArcFaceLoss": CLASS_VECTORS,
    "CosFaceLoss": CLASS_VECTORS,
    "SphereFaceLoss": CLASS_VECTORS,
    "LargeMarginSoftmaxLoss": CLASS_VECTORS,
    "NormalizedSoftmaxLoss": CLASS_VECTORS,
    "AMSoftmaxLoss": CLASS_VECTORS,
    "P2SGradLoss": CLASS_VECTORS,
    "CenterLoss": PROXIES,
    "ProxyAnchorLoss": PROXIES,
    "ProxyNCALoss": PROXIES,
    "SoftTripleLoss": PROXIES,
    "ManifoldLoss": PROXIES,
    "NCALoss": Absent("a softmax over the distances to all others of the batch", "supcon"),
    "InstanceLoss": Absent("a cross entropy of inner products with a whole batch", "infonce"),
    "DCLLoss": Absent("infonce without the positive in its denominator", "infonce"),
    "DCLWLoss": Absent("infonce without the positive in its denominator, weighted", "infonce"),
    "NCELoss": Absent("noise-contrastive estimation, against drawn negatives", "infonce"),
    "CoSENTLoss": Absent("a ranking of the cosines of pairs"),
    "AngularLoss": Absent("a bound on the angle of a triplet at its negative"),
    "FastAPLoss": RANKING,
    "SmoothAPLoss": RANKING,
    "PNPLoss": RANKING,
    "HistogramLoss": Absent("the overlap of two histograms of similarities"),
    "LiftedStructureLoss": MINED,
    "GeneralizedLiftedStructureLoss": MINED,
    "MarginLoss": MINED,
    "RankedListLoss": MINED,
    "TupletMarginLoss": MINED,
    "DynamicSoftMarginLoss": MINED,
    "IntraPairVarianceLoss": MINED,
    "GenericPairLoss": MINED,
    "SignalToNoiseRatioContrastiveLoss": MINED,
    "ThresholdConsistentMarginLoss": MINED,
    "CrossBatchMemory": WRAPPER,
    "SwaVLoss": Absent("a swapped prediction of cluster assignments"),
    "DINOLoss": Absent("a cross entropy with a centred teacher that follows the student"),
    # regions, images and registration
    "AUCMLoss": Absent("a min-max form of the area under the ROC curve"),
    "BendingEnergyLoss": Absent("the second derivatives of a displacement field, squared"),
    "DiffusionLoss": Absent("the first derivatives of a displacement field, squared"),
    "GeneralizedWassersteinDiceLoss": Absent("a dice whose mistakes cost what a matrix of classes says"),
    "NACLLoss": Absent("a cross entropy that keeps logits near those of their neighbours"),
    "SURELoss": Absent("an estimate of the squared error without a truth"),
    "GlobalMutualInformationLoss": MUTUAL,
    "MutualInformationLoss": MUTUAL,
    "MILossFromRef": MUTUAL,
    "NMILossFromRef": MUTUAL,
    "MILossFromRef2D": MUTUAL,
    "MILossFromRef3D": MUTUAL,
    "NMILossFromRef2D": MUTUAL,
    "NMILossFromRef3D": MUTUAL,
    "mi": MUTUAL,
    "nmi": MUTUAL,
    "MultiScaleLoss": Absent("a loss at several blurs of the images"),
    "ChamferLoss": Absent("the distances between two sets of points"),
    "EMDLoss": Absent("the earth mover's distance"),
    "WassersteinLoss": Absent("the difference of a critic's means", "mean(pred.fake) - mean(pred.real)"),
    "StyleLoss": Absent("the squared difference of Gram matrices of features"),
    "GramLoss": Absent("the squared difference of Gram matrices of features"),
    "gradient_penalty": Absent("a penalty on the gradient of a critic, which your code computes"),
    "r1_penalty": Absent("a penalty on the gradient of a critic, which your code computes"),
    "path_length_penalty": Absent("a penalty on the gradient of a generator, which your code computes"),
    "DeepSupervisionLoss": Absent("one loss at several outputs", "each(ce, weights=halving())"),
    "PatchAdversarialLoss": GAN,
    "AdversarialLoss": GAN,
    "GANLoss": GAN,
    # classification and detection
    "DistributionBalancedLoss": Absent("a binary cross entropy balanced by the classes of each sample"),
    "EQLV2Loss": Absent("a binary cross entropy balanced by running sums of its gradients"),
    "SeesawLoss": Absent("a cross entropy balanced by how often each class has been seen"),
    "JsdCrossEntropy": Absent("a cross entropy with the divergence between augmentations", "ce + js"),
    "PolyBinaryCrossEntropy": Absent("a binary cross entropy with a first power of 1 - p", "bce(sigmoid)"),
    "TwoWayLoss": Absent("a multi-label loss over classes and over samples", "bce(sigmoid)"),
    "ZlprLoss": Absent("a multi-label ranking against a threshold of 0", "bce(sigmoid)"),
    "MultiPosCrossEntropyLoss": Absent("a cross entropy with several positives", "supcon"),
    "MarginL2Loss": Absent("a squared error beyond a margin"),
    "AssociativeEmbeddingLoss": Absent("a pull and a push of corner embeddings"),
    "DDQAuxLoss": Absent("the auxiliary head of one detector"),
    "SymmetricCrossEntropy": Absent("a cross entropy and its reverse", "gce"),
    "sce": Absent("a cross entropy and its reverse", "gce"),
    "rce": Absent("a cross entropy with truth and prediction exchanged", "gce"),
    "ece": RULES,
    "mce": RULES,
    "auc": RULES,
    "auroc": RULES,
    "brier": Absent("the squared error of probabilities", "mse(softmax)"),
    "mre": Absent("the error relative to the truth", "mape"),
    "mbe": Absent("the mean of the errors with their sign"),
    "r2": RULES,
    "nrmse": Absent("rmse divided by the spread of the truth", "rmse"),
    "crps": Absent("a score of a whole distribution", "quantile(q=[0.1, 0.5, 0.9])"),
    "ListMLE": Absent("the likelihood of a whole ranking", "listwise_softmax"),
    "ListNet": Absent("a cross entropy over the items of a list", "listwise_softmax"),
    "LambdaRank": Absent("a ranking whose pairs weigh what they change of a measure"),
    "RankNet": Absent("a logistic loss of score differences", "mean(softplus(batch.low - batch.high))"),
    "bpr": Absent("a logistic loss of score differences", "mean(softplus(batch.low - batch.high))"),
    "z_loss": Absent("the squared logarithm of the softmax's denominator"),
    "dpo": Absent("a logistic loss of differences of log-likelihoods", "mean(softplus(-0.1*pred.margin))"),
    "simpo": Absent("a logistic loss of differences of log-likelihoods", "mean(softplus(-0.1*pred.margin))"),
    "ppo": Absent("a clipped policy gradient", "-mean(min(batch.ratio*batch.adv, batch.clipped*batch.adv))"),
    "mdn": Absent("the negative log-likelihood of a mixture of Gaussians"),
    # words of other languages
    "where": Absent("a choice between two values", "ce(mask=batch.valid)"),
    "entropy": Absent("the entropy of a prediction", "ce(target=batch.soft)"),
    "dropout": Absent("a layer, not a loss"),
    "mean_iou": Absent("a measure", "metric(1 - jaccard(softmax))"),
    "iou_score": Absent("a measure", "metric(1 - jaccard(softmax))"),
    "dice_score": Absent("a measure", "metric(1 - dice(softmax))"),
    "dice_coef": Absent("a measure", "metric(1 - dice(softmax))"),
}
"""By name; capitals, underscores and a `loss` at the end do not count."""
