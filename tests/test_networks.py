"""Networks against plain formulas: normalisation, up-sampling, shapes, starting codes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unmingle.nn.components import (
    Subspace,
    class_means,
    coarse_features,
    principal_components,
    thumbnails,
    within_class,
)
from unmingle.nn.encoder import ConvEncoder
from unmingle.nn.generator import AdaIN, ModulatedGenerator, UpConv, standardise


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- standardise, AdaIN


def modulated(dtype=torch.float32, shape=(3, 4, 5, 6)):
    # Channels-last, with a mean and spread of its own in each channel.
    x = (2 + 3 * noise(*shape)) * (1 + noise(1, shape[1], 1, 1, seed=1).abs())
    scale, shift = noise(*shape[:2], 1, 1, seed=2), noise(*shape[:2], 1, 1, seed=3)
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    return tuple(t.to(dtype).requires_grad_() for t in (x, scale, shift))


def test_standardise_is_instance_norm_with_all_gradients():
    ours, plain = modulated(), modulated()
    weight = noise(3, 4, 5, 6, seed=4)
    result = standardise(*ours)
    wanted = F.instance_norm(plain[0], eps=1e-5) * plain[1] + plain[2]
    torch.testing.assert_close(result, wanted, rtol=1e-4, atol=1e-5)
    (result * weight).sum().backward()
    (wanted * weight).sum().backward()
    for one, other in zip(ours, plain, strict=True):
        assert one.grad.shape == one.shape
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_standardise_gradients_are_finite_differences():
    inputs = modulated()
    weight = noise(3, 4, 5, 6, seed=4)

    def loss(x, scale, shift):
        return (standardise(x, scale, shift) * weight).double().sum()

    loss(*inputs).backward()
    for position, tensor in enumerate(inputs):
        direction = noise(*tensor.shape, seed=5)
        step = 1e-2
        moved = []
        for sign in (1, -1):
            shifted = [t.detach() for t in inputs]
            shifted[position] = shifted[position] + sign * step * direction
            moved.append(loss(*shifted))
        slope = (moved[0] - moved[1]) / (2 * step)
        expected = (tensor.grad * direction).sum().item()
        assert slope.item() == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_standardise_keeps_type_and_layout_in_bfloat16():
    x, scale, shift = (t.detach() for t in modulated(shape=(2, 8, 16, 16)))
    half = x.to(torch.bfloat16).requires_grad_()
    result = standardise(half, scale, shift)
    assert result.dtype == torch.bfloat16
    assert result.is_contiguous(memory_format=torch.channels_last)
    wanted = F.instance_norm(half.detach().float()) * scale + shift
    assert (result.float() - wanted).abs().max() < 0.05 * wanted.abs().max()
    result.sum().backward()
    assert half.grad.dtype == torch.bfloat16


def test_a_constant_channel_becomes_its_shift():
    x = torch.full((1, 2, 3, 3), 4.0)
    scale, shift = torch.full((1, 2, 1, 1), 5.0), torch.tensor([1.0, -2.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(standardise(x, scale, shift), shift.expand_as(x))


def test_adain_sets_each_channels_mean_and_deviation():
    layer, code = AdaIN(3, 2), noise(4, 3)
    out = layer(5 + 2 * noise(4, 2, 6, 7), code)
    wanted = code @ layer.affine.weight.T + layer.affine.bias
    std, mean = torch.std_mean(out, dim=(2, 3), correction=0)
    torch.testing.assert_close(std, wanted[:, :2].abs(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mean, wanted[:, 2:], rtol=1e-3, atol=1e-4)
    # Without a code it starts as plain instance normalisation.
    plain = layer(noise(4, 2, 6, 7), torch.zeros(4, 3))
    torch.testing.assert_close(plain, F.instance_norm(noise(4, 2, 6, 7)), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------- UpConv


@pytest.mark.parametrize("size", [(8, 9), (16, 16), (15, 18)])
def test_upconv_is_upsampling_then_convolution(size):
    torch.manual_seed(0)
    layer, x = UpConv(3, 5), noise(2, 3, *size).requires_grad_()
    weight = noise(2, 5, 2 * size[0], 2 * size[1], seed=1)
    out = layer(x)
    (out * weight).sum().backward()
    ours = [layer.conv.weight.grad, layer.conv.bias.grad, x.grad]

    large = x.detach().repeat_interleave(2, 2).repeat_interleave(2, 3).requires_grad_()
    kernel = layer.conv.weight.detach().clone().requires_grad_()
    bias = layer.conv.bias.detach().clone().requires_grad_()
    wanted = F.conv2d(large, kernel, bias, padding=1)
    (wanted * weight).sum().backward()
    pooled = large.grad.unflatten(3, (-1, 2)).sum(4).unflatten(2, (-1, 2)).sum(3)
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-5)
    for one, other in zip(ours, (kernel.grad, bias.grad, pooled), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_upconv_takes_both_ways(monkeypatch):
    calls = []
    transposed = F.conv_transpose2d
    monkeypatch.setattr(
        F, "conv_transpose2d", lambda *args, **named: calls.append(1) or transposed(*args, **named)
    )
    layer = UpConv(2, 2)
    layer(noise(1, 2, 8, 8))
    layer(noise(1, 2, 16, 16), upsample=False)
    assert not calls
    layer(noise(1, 2, 16, 16))
    assert calls


def test_upconv_without_upsampling_is_the_convolution_and_saves_no_constants():
    layer, x = UpConv(2, 3), noise(1, 2, 20, 20)
    wanted = F.conv2d(x, layer.conv.weight, layer.conv.bias, padding=1)
    torch.testing.assert_close(layer(x, upsample=False), wanted)
    assert sorted(layer.state_dict()) == ["conv.bias", "conv.weight"]


# ---------------------------------------------------------------------- generator


@pytest.mark.parametrize("shape", [(16, 16, 1), (17, 33, 3), (48, 80, 4), (33, 20, 2), (64, 64, 3)])
@pytest.mark.parametrize("divisor", [1, 2, 4])
def test_generator_makes_images_of_any_size(shape, divisor):
    torch.manual_seed(0)
    net = ModulatedGenerator(6, 5, shape, widths=(8, 8, 8, 4), head=4, head_kernels=(3, 3))
    with torch.no_grad():
        net.head[-1].weight.mul_(100)  # so that the range is not kept by chance
        images = net(noise(2, 6), noise(2, 5, seed=1), divisor)
    height, width, channels = shape
    assert images.shape == (2, channels, -(-height // divisor), -(-width // divisor))
    assert images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1 and images.max() - images.min() > 0.9


def test_the_picture_is_the_middle_of_whole_cells():
    torch.manual_seed(0)
    small = ModulatedGenerator(6, 5, (17, 33, 3), widths=(8, 8, 8), head=4)
    whole = ModulatedGenerator(6, 5, (20, 36, 3), widths=(8, 8, 8), head=4)
    whole.load_state_dict(small.state_dict())  # the same 5x9 cells of 4x4
    codes = noise(2, 6), noise(2, 5, seed=1)
    assert torch.equal(small(*codes), whole(*codes)[:, :, 1:18, 1:34])


def test_generator_has_the_papers_parameters():
    net = ModulatedGenerator(128, 256, (64, 64, 3))
    size = 4 * 4 * 256
    layers = [
        # three fully-connected layers: hwD/8, hwD/4, hwD
        128 * (size // 8) + size // 8,
        (size // 8) * (size // 4) + size // 4,
        (size // 4) * size + size,
        # four blocks: 3x3 convolution, and one linear layer from the class code to 2D numbers
        4 * (3 * 3 * 256 * 256 + 256 + 256 * 512 + 512),
        # head: 5x5 to 64, 7x7 to colours
        5 * 5 * 256 * 64 + 64,
        7 * 7 * 64 * 3 + 3,
    ]
    assert sum(p.numel() for p in net.parameters()) == sum(layers) == 8_095_491
    assert net.base == (256, 4, 4)


def test_content_and_class_reach_the_image_and_get_gradients():
    torch.manual_seed(0)
    net = ModulatedGenerator(6, 5, (16, 16, 1), widths=(8, 8, 8), head=4)
    content, classes = noise(3, 6).requires_grad_(), noise(3, 5, seed=1).requires_grad_()
    images = net(content, classes)
    (gradient,) = torch.autograd.grad(images[1].sum(), content, retain_graph=True)
    assert gradient[1].abs().sum() > 0 and gradient[[0, 2]].abs().sum() == 0
    images.square().sum().backward()
    assert classes.grad.abs().sum(1).min() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_every_weight_is_trained_at_every_divisor():
    torch.manual_seed(0)
    net = ModulatedGenerator(6, 5, (32, 32, 3), widths=(8, 8, 8, 8), head=4)
    for divisor in (1, 2, 4):
        net.zero_grad()
        net(noise(4, 6), noise(4, 5, seed=1), divisor).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in net.parameters())


# ---------------------------------------------------------------------- encoder


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(16, 16, 1), (24, 20, 3), (33, 47, 4), (16, 70, 2), (64, 64, 3)])
def test_encoder_takes_images_of_any_size(shape, stride):
    net = ConvEncoder(shape, 7, (4, 4, 8, 8, 8), hidden=16, first_stride=stride)
    images = torch.rand(3, shape[2], *shape[:2])
    codes = net(images)
    assert codes.shape == (3, 7) and codes.dtype == torch.float32
    assert (codes[0] - codes[1]).abs().max() > 0


def test_encoder_has_the_papers_parameters():
    net = ConvEncoder((64, 64, 3), 128)
    convolutions = [(7, 3, 64), (4, 64, 128), (4, 128, 256), (4, 256, 256), (4, 256, 256)]
    count = sum(k * k * a * b + b for k, a, b in convolutions)
    count += (4 * 4 * 256 + 1) * 256 + 257 * 256 + 257 * 128
    assert sum(p.numel() for p in net.parameters()) == count
    assert [layer.stride for layer in net.convs[::2]] == [(1, 1)] + [(2, 2)] * 4


# ---------------------------------------------------------------------- where codes start


def test_a_centred_encoder_sees_pixels_about_zero():
    torch.manual_seed(0)
    plain = ConvEncoder((16, 16, 1), 3, (4, 4), hidden=8)
    centred = ConvEncoder((16, 16, 1), 3, (4, 4), hidden=8, centred=True)
    centred.load_state_dict(plain.state_dict())
    images = noise(2, 1, 16, 16).abs()
    before = images.clone()
    torch.testing.assert_close(centred(images), plain(4 * images - 2))
    assert torch.equal(images, before)


def test_thumbnails_are_area_means():
    pixels = torch.randint(0, 256, (5, 3, 32, 48), generator=torch.Generator().manual_seed(0))
    asked = []

    def images(rows, divisor):
        asked.append((rows.tolist(), divisor))
        return pixels[rows].float() / 255

    small = thumbnails(images, 5)
    wanted = pixels.float().reshape(5, 3, 16, 2, 16, 3).mean((3, 5)).flatten(1)
    assert small.dtype == torch.uint8 and small.shape == (5, 3 * 256)
    assert (small.float() - wanted).abs().max() <= 0.5 + 1e-3
    assert asked == [([0, 1, 2, 3, 4], 1)]


def test_class_means_by_hand():
    vectors = torch.tensor([[0, 10], [255, 20], [4, 30], [6, 255]], dtype=torch.uint8)
    means = class_means(vectors, torch.tensor([2, 0, 2, 2]), 4)
    wanted = [[255, 20], [0, 0], [10 / 3, 295 / 3], [0, 0]]
    torch.testing.assert_close(means, torch.tensor(wanted, dtype=torch.float32))


def test_rows_within_their_class_by_hand():
    # Class 0: mean (2, 0), offsets of length 2; class 1: mean (5, 5), lengths 1 and 1; 2: one row.
    vectors = torch.tensor([[0.0, 0], [4, 0], [5, 4], [5, 6], [9, 9]], dtype=torch.float16)
    rows = within_class(vectors, torch.tensor([0, 0, 1, 1, 2]), 3)
    wanted = torch.tensor([[-1.0, 0], [1, 0], [0, -1], [0, 1], [0, 0]])
    torch.testing.assert_close(rows(slice(0, 5)), wanted)
    torch.testing.assert_close(rows(slice(1, 3)), wanted[1:3])


def test_a_class_of_equal_images_is_not_enlarged():
    vectors = torch.tensor([[-6.0], [6.0], [1.0], [1.0 + 2**-10]])
    rows = within_class(vectors, torch.tensor([0, 0, 1, 1]), 2)
    # Spreads 6 and 2^-11: the second is taken as a tenth of their mean.
    assert rows(slice(0, 2)).abs().tolist() == [[1.0], [1.0]]
    assert rows(slice(2, 4)).abs().max().item() == pytest.approx(2**-11 / 0.3, rel=1e-2)


def test_coarse_features_keep_what_two_layers_say():
    torch.manual_seed(0)
    pixels = torch.rand(150, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    weights = [noise(c, 3, 1, 1, seed=c) for c in (4, 5, 6, 7, 8)]

    def net(images):
        return [F.conv2d(F.avg_pool2d(images, 2), weight) for weight in weights]

    found = coarse_features(net, lambda rows, divisor: pixels[rows], 150)
    for part, layer, side in zip(found, (2, 4), (8, 4), strict=True):
        assert part.dtype == torch.float16 and part.shape == (150, 512)
        true = F.adaptive_avg_pool2d(net(pixels)[layer], side).flatten(1)
        part, true = part.float() - part.float().mean(0), true - true.mean(0)
        wanted = true @ true.T
        assert (part @ part.T - wanted).norm() < 0.4 * wanted.norm()
        assert (part @ part.T).trace() == pytest.approx(wanted.trace().item(), rel=0.1)


def test_means_of_many_rows_are_made_in_blocks():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randint(0, 256, (5000, 3), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 7, (5000,), generator=generator)
    means = class_means(vectors, labels, 7)
    for value in range(7):
        torch.testing.assert_close(means[value], vectors[labels == value].float().mean(0))


@pytest.mark.parametrize(("rows", "kept"), [(5000, 3), (40, 3), (40, 99)])
def test_principal_components_span_what_svd_finds(rows, kept):
    torch.manual_seed(0)
    data = noise(rows, 6) * torch.tensor([9.0, 6.0, 4.0, 1.0, 0.5, 0.1])
    data = data @ torch.linalg.qr(noise(6, 6, seed=1)).Q
    data -= data.mean(0)
    codes = principal_components(lambda block: data[block], rows, kept, dim=10, norm=8.0)
    assert codes.shape == (rows, 10)
    kept = min(kept, 6)
    assert codes.square().sum(1).mean().sqrt().item() == pytest.approx(8.0, rel=1e-5)
    left, values, _ = np.linalg.svd(data.numpy().astype(np.float64), full_matrices=False)
    projections = left[:, :kept] * values[:kept]
    projections *= 8 / np.sqrt((projections**2).sum(1).mean())
    # The turn keeps lengths and angles, so all inner products agree.
    inner = codes.numpy()[:40] @ codes.numpy().T
    np.testing.assert_allclose(inner, projections[:40] @ projections.T, rtol=1e-3, atol=2e-2)
    assert np.linalg.matrix_rank(codes.numpy(), tol=1e-2) == kept
    assert codes.abs().mean(0).min() > 0.01  # spread over all dimensions


def test_principal_components_of_nothing_are_zero():
    codes = principal_components(lambda block: torch.zeros(5, 4)[block], 5, 2, 3, norm=8.0)
    assert torch.equal(codes, torch.zeros(5, 3))


def test_a_subspace_keeps_the_directions_that_vary():
    # Variances 4 along the first axis, 1 along (0, 3, 4) / 5, and none along the third.
    away = torch.tensor([0.0, 0.6, 0.8])
    codes = torch.tensor([[2.0, 0, 0], [-2.0, 0, 0], [2.0, 0, 0], [-2.0, 0, 0]])
    codes = codes + torch.tensor([1.0, 1, -1, -1])[:, None] * away + torch.tensor([5.0, 6, 7])
    probe = torch.tensor([[5.5, 6.0, 8.0], [5.0, 6.8, 6.4]])
    layer = Subspace(3)
    assert torch.equal(layer(probe), probe)
    assert layer.fit(codes, 0.5) == 2
    # The probe's offsets are (0.5, 0, 1) and (0, 0.8, -0.6); away . offset = 0.8 and 0.
    wanted = torch.tensor([[5.5, 6 + 0.8 * 0.6, 7 + 0.8 * 0.8], [5.0, 6.0, 7.0]])
    torch.testing.assert_close(layer(probe), wanted)
    torch.testing.assert_close(layer(codes), codes)
    # Whitened, its coordinates 0.5 and 0.8 (0 and 0) are stretched to the mean variance 2.5.
    first, second = math.sqrt(2.5 / (4 + 0.125)), math.sqrt(2.5 / (1 + 0.125))
    wanted = torch.tensor([[0.5 * first, 0, 0], [0, 0, 0]])
    wanted[0] += 0.8 * second * away
    torch.testing.assert_close(layer.whiten(probe), wanted, atol=1e-6, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer.whiten(probe), wanted, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(layer(codes), codes)
    for floor in (2.0, 100.0):  # one direction is always kept
        assert layer.fit(codes, floor) == 1
        torch.testing.assert_close(layer(probe), torch.tensor([[5.5, 6.0, 7.0], [5.0, 6.0, 7.0]]))
    again = Subspace(3)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(probe), layer(probe))
    assert torch.equal(again.whiten(probe), layer.whiten(probe))
