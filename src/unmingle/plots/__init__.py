"""Pictures and plots of what a model does."""

from __future__ import annotations

from unmingle.plots.figures import content_statistics, curves, read_metrics
from unmingle.plots.grid import interpolation_grid, save_png, swap_grid, tile
from unmingle.plots.views import prepared_codes, save_gif, views

__all__ = [
    "content_statistics",
    "curves",
    "interpolation_grid",
    "prepared_codes",
    "read_metrics",
    "save_gif",
    "save_png",
    "swap_grid",
    "tile",
    "views",
]
