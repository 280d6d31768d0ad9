"""By hand: regions and their surfaces, at 1 MB of prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import inputs
from bench.by_hand import CLASSES, PIXELS, by_hand, sums
from bench.work import Call, Shape


def with_distances(shape: Shape) -> Call:
    """Logits, and a signed distance for each."""
    return Call(torch.randn(shape), torch.randn(shape))


def blobs(shape: Shape) -> Call:
    """Logits that say no to most of a rectangle: what is wrong is thick enough to be eroded."""
    *_, height, width = shape
    target = torch.zeros(shape)
    target[..., height // 8 :, : width - 1] = 1
    return Call(torch.randn(shape) - 4, target)


@by_hand(inputs.labels, CLASSES, "gdl(softmax)")
def gdl(pred: Tensor, target: Tensor) -> Tensor:
    probs, truth = F.softmax(pred, 1), F.one_hot(target, pred.shape[1]).movedim(-1, 1).float()
    both, volume = (probs * truth).sum((2, 3)), truth.sum((2, 3))
    weights = 1 / volume**2
    infinite = torch.isinf(weights)
    weights[infinite] = 0
    weights = torch.where(infinite, weights.amax(1, keepdim=True), weights)
    whole = (weights * (probs.sum((2, 3)) + volume)).sum(1)
    return (1 - (2 * (weights * both).sum(1) + 1e-5) / (whole + 1e-5)).mean()


def lovasz_gradient(truth: Tensor) -> Tensor:
    """The authors': what each of the sorted errors adds to 1 - IoU."""
    volume = truth.sum(-1, keepdim=True)
    jaccard = 1 - (volume - truth.cumsum(-1)) / (volume + (1 - truth).cumsum(-1))
    return torch.cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)


@by_hand(inputs.mask, PIXELS)
def lovasz_hinge(pred: Tensor, target: Tensor) -> Tensor:
    logits, truth = pred.flatten(1), target.flatten(1)
    errors, order = torch.sort(1 - logits * (2 * truth - 1), dim=1, descending=True)
    return (F.relu(errors) * lovasz_gradient(truth.gather(1, order))).sum(1).mean()


@by_hand(inputs.labels, CLASSES, "lovasz_softmax(softmax)")
def lovasz_softmax(pred: Tensor, target: Tensor) -> Tensor:
    probs, losses = F.softmax(pred, 1), []
    for sample, labels in zip(probs, target, strict=True):
        for c, p in enumerate(sample):
            truth = (labels == c).float().flatten()
            if truth.sum() == 0:
                continue
            errors, order = torch.sort((truth - p.flatten()).abs(), descending=True)
            losses.append(torch.dot(errors, lovasz_gradient(truth[order])))
    return torch.stack(losses).mean()


@by_hand(inputs.mask, PIXELS, "mcc(sigmoid)")
def mcc(pred: Tensor, target: Tensor) -> Tensor:
    probs, s = torch.sigmoid(pred), 1e-5
    tp, fp = (probs * target).sum((2, 3)) + s, (probs * (1 - target)).sum((2, 3)) + s
    fn, tn = ((1 - probs) * target).sum((2, 3)) + s, ((1 - probs) * (1 - target)).sum((2, 3)) + s
    return (1 - (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()).mean()


@by_hand(inputs.mask, PIXELS, "sensitivity_specificity(sigmoid)")
def sensitivity_specificity(pred: Tensor, target: Tensor) -> Tensor:
    squares = (target - torch.sigmoid(pred)) ** 2
    missed = (squares * target).sum((2, 3)) / (target.sum((2, 3)) + 1e-5)
    invented = (squares * (1 - target)).sum((2, 3)) / ((1 - target).sum((2, 3)) + 1e-5)
    return (0.1 * missed + 0.9 * invented).mean()


@by_hand(inputs.mask, PIXELS, "unified_focal(sigmoid)")
def unified_focal(pred: Tensor, target: Tensor) -> Tensor:
    probs = torch.sigmoid(pred)
    yes = 0.7 * target * F.logsigmoid(pred)
    no = 0.3 * (1 - target) * probs**0.5 * F.logsigmoid(-pred)
    tp, tn = (probs * target).sum((2, 3)), ((1 - probs) * (1 - target)).sum((2, 3))
    fp, fn = probs.sum((2, 3)) - tp, target.sum((2, 3)) - tp
    front = 1 - (tp + 1e-5) / (tp + 0.7 * fn + 0.3 * fp + 1e-5)
    back = 1 - (tn + 1e-5) / (tn + 0.7 * fp + 0.3 * fn + 1e-5)
    return 0.5 * -(yes + no).mean() / 2 + 0.5 * (front**0.5 + back).mean() / 2


@by_hand(inputs.mask, PIXELS, "exp_log(sigmoid)")
def exp_log(pred: Tensor, target: Tensor) -> Tensor:
    both, predicted, true = sums(pred, target)
    dice = -torch.log((2 * both + 1e-5) / (predicted + true + 1e-5))
    entropy = target * (-F.logsigmoid(pred)) ** 0.3
    return (0.8 * dice**0.3).mean() + 0.2 * entropy.mean()


@by_hand(with_distances, PIXELS, "boundary(sigmoid)")
def boundary(pred: Tensor, target: Tensor) -> Tensor:
    return (torch.sigmoid(pred) * target).mean()


@by_hand(inputs.mask, PIXELS, "hausdorff_dt(sigmoid)")
def hausdorff_dt(pred: Tensor, target: Tensor) -> Tensor:
    from scipy.ndimage import distance_transform_edt

    probs, far = torch.sigmoid(pred), torch.zeros_like(pred)
    for mask in (probs.detach() > 0.5, target > 0.5):
        for i, region in enumerate(mask.flatten(0, 1).cpu().numpy()):
            if region.any() and not region.all():
                field = distance_transform_edt(region) + distance_transform_edt(~region)
                far.flatten(0, 1)[i] += torch.from_numpy(field).to(far) ** 2
    return ((probs - target) ** 2 * far).mean()


@by_hand(blobs, PIXELS, "hausdorff_er(sigmoid)")
def hausdorff_er(pred: Tensor, target: Tensor) -> Tensor:
    bound = (torch.sigmoid(pred) - target).flatten(0, 1).unsqueeze(1) ** 2
    cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]], device=pred.device)[None, None] / 5
    eroded = torch.zeros_like(bound)
    for k in range(10):
        bound = F.relu(F.conv2d(bound, cross, padding=1) - 0.5)
        low, high = bound.amin((2, 3), keepdim=True), bound.amax((2, 3), keepdim=True)
        bound = torch.where(high > low, (bound - low) / torch.where(high > low, high - low, 1), bound)
        eroded = eroded + bound * (k + 1) ** 2
    return eroded.mean()


def skeleton(image: Tensor) -> Tensor:
    def erode(x: Tensor) -> Tensor:
        return torch.min(-F.max_pool2d(-x, (3, 1), 1, (1, 0)), -F.max_pool2d(-x, (1, 3), 1, (0, 1)))

    def opened(x: Tensor) -> Tensor:
        return F.max_pool2d(erode(x), 3, 1, 1)

    found = F.relu(image - opened(image))
    for _ in range(3):
        image = erode(image)
        delta = F.relu(image - opened(image))
        found = found + F.relu(delta - found * delta)
    return found


@by_hand(inputs.mask, PIXELS, "cldice(sigmoid)")
def cldice(pred: Tensor, target: Tensor) -> Tensor:
    probs = torch.sigmoid(pred)
    found, true = skeleton(probs), skeleton(target)
    precision = ((found * target).sum((2, 3)) + 1) / (found.sum((2, 3)) + 1)
    sensitivity = ((true * probs).sum((2, 3)) + 1) / (true.sum((2, 3)) + 1)
    return (1 - 2 * precision * sensitivity / (precision + sensitivity)).mean()
