"""Losses against hand-worked values and independent formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from unmingle.losses.latent import activation_decay, class_average, gaussian_kl, mean_squared
from unmingle.losses.perceptual import feature_distance, mean_absolute


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- perceptual


def test_mean_absolute_by_hand():
    a = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    b = torch.tensor([[0.0, 1.0], [0.5, 7.0]], requires_grad=True)
    loss = mean_absolute(a, b)
    assert loss.item() == (1 + 3 + 0 + 4) / 4
    (3 * loss).backward()
    assert a.grad.tolist() == [[0.75, -0.75], [0.0, -0.75]]
    assert b.grad is None


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_mean_absolute_is_torchs_in_value_and_gradient(dtype, tolerance):
    a, b = noise(3, 5, 7, 9).to(dtype), noise(3, 5, 7, 9, seed=1).to(dtype)
    a = a.contiguous(memory_format=torch.channels_last)
    ours, plain = a.clone().requires_grad_(), a.clone().requires_grad_()
    loss = mean_absolute(ours, b)
    wanted = (plain - b).abs().float().mean()
    assert loss.dtype == torch.float32 and loss.shape == ()
    assert loss.item() == pytest.approx(wanted.item(), rel=tolerance)
    loss.backward()
    wanted.backward()
    assert ours.grad.dtype == dtype
    torch.testing.assert_close(ours.grad, plain.grad, rtol=tolerance, atol=0)
    exact = (a.float() - b.float()).sign() / a.numel()
    torch.testing.assert_close(ours.grad.float(), exact, rtol=tolerance, atol=0)


def test_mean_absolute_of_many_bfloat16_values_is_summed_in_float32():
    ones = torch.ones(2**17, dtype=torch.bfloat16)
    assert mean_absolute(ones * 3, ones).item() == pytest.approx(2, rel=1e-5)


def test_feature_distance_by_hand():
    first = torch.tensor([[[[1.0, 2.0]]]], requires_grad=True)
    second = torch.tensor([[[[0.0]], [[4.0]]]], requires_grad=True)
    target = [torch.tensor([[[[0.0, 0.0]]]]), torch.tensor([[[[1.0]], [[1.0]]]])]
    target[0].requires_grad_()
    assert feature_distance([first, second], target).item() == 1.5 + 2.0
    scaled = feature_distance([first, second], target, [0.5, 4.0])
    assert scaled.item() == 1.5 / 0.5 + 2.0 / 4
    scaled.backward()
    assert first.grad.flatten().tolist() == [1.0, 1.0]
    assert second.grad.flatten().tolist() == [-0.125, 0.125]
    assert target[0].grad is None


def test_feature_distance_needs_the_same_number_of_layers():
    layer = torch.ones(1, 1, 1, 1)
    with pytest.raises(ValueError, match="shorter"):
        feature_distance([layer, layer], [layer])
    with pytest.raises(ValueError, match="shorter"):
        feature_distance([layer, layer], [layer, layer], [1.0])


# ---------------------------------------------------------------------- codes


def test_activation_decay_by_hand():
    codes = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, -1.0]], requires_grad=True)
    loss = activation_decay(codes)
    assert loss.item() == (9 + 1) / 2
    loss.backward()
    assert torch.equal(codes.grad, codes.detach())


def test_gaussian_kl_is_torchs():
    mean, log_variance = noise(4, 3), noise(4, 3, seed=1)
    standard = MultivariateNormal(torch.zeros(3), torch.eye(3))
    each = [
        kl_divergence(MultivariateNormal(m, torch.diag(v.exp())), standard)
        for m, v in zip(mean, log_variance, strict=True)
    ]
    assert gaussian_kl(mean, log_variance).item() == pytest.approx(
        torch.stack(each).mean().item(), rel=1e-5
    )
    assert gaussian_kl(torch.zeros(2, 5), torch.zeros(2, 5)).item() == 0
    # N(1, e^2) against N(0, 1): (1 + e^2 - 1 - 2) / 2
    one = gaussian_kl(torch.ones(1, 1), torch.full((1, 1), 2.0)).item()
    assert one == pytest.approx((math.exp(2) - 2) / 2)


def test_mean_squared_by_hand():
    codes = torch.tensor([[1.0, 2.0]], requires_grad=True)
    target = torch.tensor([[0.0, 5.0]], requires_grad=True)
    loss = mean_squared(codes, target)
    assert loss.item() == (1 + 9) / 2
    loss.backward()
    assert codes.grad.tolist() == [[1.0, -3.0]]
    assert target.grad is None


def test_class_average_by_hand():
    codes = torch.tensor([[1.0, 0.0], [5.0, 5.0], [3.0, 4.0], [8.0, -2.0]], requires_grad=True)
    classes = torch.tensor([7, 2, 7, 7])
    average = class_average(codes, classes)
    mean = [4.0, 2 / 3]
    torch.testing.assert_close(average, torch.tensor([mean, [5.0, 5.0], mean, mean]))
    # Sample 2 alone is asked for: a third of its gradient goes to each of its class.
    average[2].sum().backward()
    third = [1 / 3, 1 / 3]
    torch.testing.assert_close(codes.grad, torch.tensor([third, [0.0, 0.0], third, third]))


def test_class_average_of_single_samples_is_the_identity():
    codes = noise(4, 3)
    assert torch.equal(class_average(codes, torch.tensor([3, 0, 2, 1])), codes)
