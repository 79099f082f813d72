"""Terms of variational autoencoders: likelihoods, capacity, covariance, total correlation.

All are in nats. A sum runs over the dimensions of a sample, a mean over the batch. Everything is
computed in float32.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unmingle.errors import ConfigError

from .perceptual import mean_absolute

_LIMIT = 8.0  # of a log variance: standard deviations from 0.018 to 55


def posterior(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance of q(z|x), float32 [b, dim] each, of an encoder's [b, 2 dim].

    Kingma and Welling (2014), Appendix C.2. The log variance bends towards +-8, so that no density
    can become infinite.
    """
    mean, raw = outputs.float().chunk(2, dim=1)
    return mean, _LIMIT * torch.tanh(raw / _LIMIT)


def sample(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """mean + std * noise: a draw of the Gaussian, with gradient (Kingma and Welling 2014, 2.4).

    Args:
        mean, log_variance: [b, dim].
        noise: standard normal, [b, dim].
    """
    return mean + (log_variance / 2).exp() * noise


def laplace_nll(prediction: Tensor, target: Tensor, scale: float, halvings: int = 0) -> Tensor:
    """Mean over the batch of -log Laplace(target | prediction, scale) (Ruiz et al. 2019, 4.1).

    Args:
        prediction: the means, [b, ...].
        target: the same shape; it gets no gradient.
        scale: lambda, in the units of the items.
        halvings: of images, how many more sizes the distance is averaged over, each half of the
            one before. The likeliest picture of a thin line whose place is not known is none at
            all; averages over pixels tell where it must be.
    """
    size = prediction[0].numel()
    ours, theirs = prediction.float(), target.float()
    distances = [mean_absolute(ours, theirs)]
    for _ in range(halvings if ours.ndim == 4 else 0):
        if min(ours.shape[2:]) < 2:
            break
        ours, theirs = F.avg_pool2d(ours, 2), F.avg_pool2d(theirs, 2)
        distances.append(mean_absolute(ours, theirs))
    distance = torch.stack(distances).mean()
    return size * (distance / scale + math.log(2 * scale))


def gaussian_nll(codes: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean over the batch of -log N(codes | mean, exp(log_variance)) (Ruiz et al. 2019, Eq. 10).

    Args:
        codes, mean, log_variance: [b, dim].
    """
    return -_log_normal(codes, mean, log_variance).sum(dim=1).mean()


def capacity_penalty(divergence: Tensor, capacity: float, weight: float) -> Tensor:
    """gamma * |KL - C| (Burgess et al. 2018, Eq. 8).

    Args:
        divergence: KL, a scalar.
        capacity: C in nats.
        weight: gamma.
    """
    return weight * (divergence - capacity).abs()


def aggregate_covariance(mean: Tensor, log_variance: Tensor, variant: Literal["i", "ii"]) -> Tensor:
    """The covariance that DIP-VAE pulls towards the identity (Kumar et al. 2018, section 3).

    Args:
        mean, log_variance: of q(z|x), [b, dim], b at least 2.
        variant: "i": Cov[mean]; "ii": Cov[mean] + E[variance], which is Cov of z ~ q(z).

    Returns:
        [dim, dim], with the means over the batch as expectations.
    """
    centred = mean.float() - mean.float().mean(dim=0)
    covariance = centred.T @ centred / len(mean)
    if variant == "ii":
        covariance = covariance + torch.diag(log_variance.float().exp().mean(dim=0))
    return covariance


def covariance_penalty(covariance: Tensor, off_diagonal: float, diagonal: float) -> Tensor:
    """lambda_od sum_(i != j) C_ij^2 + lambda_d sum_i (C_ii - 1)^2 (Kumar et al. 2018, Eq. 6, 7).

    Args:
        covariance: [dim, dim].
        off_diagonal: lambda_od.
        diagonal: lambda_d.
    """
    own = torch.diagonal(covariance)
    others = covariance.square().sum() - own.square().sum()
    return off_diagonal * others + diagonal * (own - 1).square().sum()


def _log_normal(codes: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(codes | mean, exp(log_variance)) of every entry; shapes broadcast."""
    square = (codes.float() - mean.float()).square() * (-log_variance.float()).exp()
    return -0.5 * (square + log_variance.float() + math.log(2 * math.pi))


def stratified_weights(batch: int, rows: int) -> Tensor:
    """Log weights [batch, batch] of minibatch stratified sampling (Chen et al. 2018, App. C.2).

    Row i holds the weights of the batch's samples in the estimate of q(z_i): 1/N of the sample
    that z_i came from, and of M = batch - 1 others 1/M, but (N - M)/(N M) of one of them. In
    expectation over the others the estimate is q(z_i) itself.

    Args:
        batch: samples, at least 2 and at most `rows`.
        rows: N, the size of the training set.

    Raises:
        ConfigError: another number of samples, for which there are no such weights.
    """
    if not 2 <= batch <= rows:
        raise ConfigError(
            f"stratified sampling needs a batch of 2 to {rows}, the size of the training set, not "
            f"{batch}"
        )
    others = batch - 1
    weights = torch.full((batch, batch), 1 / others)
    here = torch.arange(batch)
    weights[here, here] = 1 / rows
    weights[here, (here + 1) % batch] = (rows - others) / (rows * others)
    return weights.log()


def decomposed_kl(
    codes: Tensor,
    own: tuple[Tensor, Tensor],
    batch: tuple[Tensor, Tensor],
    rows: int,
    *,
    estimator: Literal["weighted", "stratified"] = "weighted",
    start: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """KL(q(z|x) || p(z)) as index-code mutual information + total correlation + dimension-wise KL.

    Chen et al. (2018), Eq. 2; q(z) estimated from the batch, Eq. 3 and App. C.

    Args:
        codes: samples z_i of q(z|x_i), [b, dim].
        own: mean and log variance of q(z|x_i), [b, dim] each.
        batch: the same of the whole batch of B, [B, dim] each; `own` are its rows from `start`.
        rows: N, the size of the training set.
        estimator: "weighted": q(z_i) = sum_j q(z_i|x_j) / (N B), biased; "stratified": unbiased,
            see `stratified_weights`.
        start: place of the first of `codes` in the batch.

    Returns:
        Mutual information, total correlation, dimension-wise KL: scalars that add up to the
        batch's estimate of the KL divergence.
    """
    mean, log_variance = batch
    each = _log_normal(codes.unsqueeze(1), mean, log_variance)  # [b, B, dim]
    if estimator == "stratified":
        weights = stratified_weights(len(mean), rows).to(codes.device)[start : start + len(codes)]
    else:
        weights = each.new_full((len(codes), len(mean)), -math.log(rows * len(mean)))
    log_joint = torch.logsumexp(each.sum(2) + weights, dim=1)
    log_product = torch.logsumexp(each + weights.unsqueeze(2), dim=1).sum(1)
    log_conditional = _log_normal(codes, *own).sum(1)
    log_prior = _log_normal(codes, torch.zeros_like(codes), torch.zeros_like(codes)).sum(1)
    return (
        (log_conditional - log_joint).mean(),
        (log_joint - log_product).mean(),
        (log_product - log_prior).mean(),
    )


def log_ratio_regression(in_q: Tensor, in_p: Tensor) -> Tensor:
    """Logistic regression whose best d is log(q/p): -E_q log s(d) - E_p log(1 - s(d)).

    Ruiz et al. (2019), Eq. 9 with the signs of Eq. 7 and Algorithm 1: where the first class of a
    logistic regression is drawn from q and the second, as often, from p, the best logit is
    log q - log p. (Eq. 9 as printed has the two classes exchanged, which gives log(p/q).) FactorVAE
    (Kim and Mnih 2018, Algorithm 2) learns its ratio of q(z) to the product of marginals so too.

    Args:
        in_q: d at samples of q (real items with inferred codes), [b].
        in_p: d at samples of p (drawn codes with generated items), [b].
    """
    return F.softplus(-in_q.float()).mean() + F.softplus(in_p.float()).mean()


def symmetric_divergence(in_q: Tensor, in_p: Tensor) -> Tensor:
    """E_q d - E_p d, which is KL(q||p) + KL(p||q) where d = log(q/p) (Ruiz et al. 2019, Eq. 8).

    Args:
        in_q: d at samples of q, [b].
        in_p: d at samples of p, [b].
    """
    return in_q.float().mean() - in_p.float().mean()
