"""What codes know before any training: the figures on starts in docs/lord.md and content-style.md.

    python benchmarks/starts.py DATA_FOLDER

DATA_FOLDER holds sprites.npz, chairs.npz and cmu_faces.npz. Labels of the content are used here to
look, and nowhere else. LORD: of how many images the nearest start of another class shows the same
content, with pixels and with features of a network. Content-style: how many of the 30 images of the
nearest style starts show the same class, and how much of the variance of the first six components
of the content's start the content and the class explain.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unmingle.data import FactorDataset, load_data
from unmingle.nn.components import (
    class_means,
    coarse_features,
    principal_components,
    thumbnails,
    within_class,
)
from unmingle.nn.perceptual import feature_net
from unmingle.nn.starts import layout_and_statistics
from unmingle.training.images import ImageSource

SETS = {
    "sprites": ("character", 24, "pose_merged"),
    "chairs": ("model", 40, "azimuth,elevation"),
    "cmu_faces": ("person", None, "pose"),
}
COMPONENTS, NEIGHBOURS = 12, 30


def nearest_start(parts: list[Tensor], labels: Tensor, content: Tensor) -> float:
    """Share of rows whose nearest start of another class has the same content."""
    classes = int(labels.max()) + 1
    off = [within_class(part, labels, classes) for part in parts]
    codes = principal_components(
        lambda block: torch.cat([part(block) for part in off], 1),
        len(labels), COMPONENTS, 128, 1.0,
    )  # fmt: skip
    distances = torch.cdist(codes, codes)
    distances[labels[:, None] == labels] = torch.inf
    return float((content[distances.argmin(1)] == content).float().mean())


def explained(codes: Tensor, labels: Tensor) -> float:
    """Share of the variance of codes [N, d] that lies between the values of a factor."""
    codes = codes - codes.mean(0)
    means = class_means(codes, labels, int(labels.max()) + 1)
    return float(means[labels].square().sum() / codes.square().sum())


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    net = feature_net("efficientnet-lite0")
    for name, (class_factor, count, content_factor) in SETS.items():
        torch.manual_seed(0)
        data: FactorDataset = load_data(Path(sys.argv[1]) / f"{name}.npz")
        if count is not None:
            data = data.select(np.flatnonzero(data.factor(class_factor) < count))
        labels = torch.from_numpy(data.factor(class_factor))
        content = torch.from_numpy(data.factor(content_factor))
        images = ImageSource(data.items).batch
        with torch.no_grad():
            small, deep = thumbnails(images, len(data)), coarse_features(net, images, len(data))
            layouts, styles = layout_and_statistics(images, len(data), net)
        pixels = nearest_start([small], labels, content)
        features = nearest_start(deep, labels, content)
        near = styles.components(COMPONENTS, COMPONENTS, 1.0)
        found = torch.cdist(near, near).topk(NEIGHBOURS, largest=False).indices
        alike = float((labels[found] == labels[:, None]).float().mean())
        first = layouts.components(6, 6, 1.0)
        print(
            f"{name}: {len(data)} images\n"
            f"  LORD's content start: nearest of another class has the same {content_factor} for "
            f"{pixels:.0%} with pixels, {features:.0%} with features\n"
            f"  content-style: {alike:.0%} of the nearest styles have the same {class_factor}; "
            f"content start explained to {explained(first, content):.0%} by {content_factor}, "
            f"{explained(first, labels):.0%} by {class_factor}"
        )


if __name__ == "__main__":
    main()
