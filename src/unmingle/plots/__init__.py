"""Pictures and plots of what a model does."""

from __future__ import annotations

from unmingle.plots.animation import save_gif
from unmingle.plots.codes import ellipses, informative_dimensions, scatter
from unmingle.plots.figures import content_statistics, curves, read_metrics
from unmingle.plots.grid import interpolation_grid, save_png, swap_grid, tile
from unmingle.plots.points import draw_points
from unmingle.plots.traverse import Direction, Traversal
from unmingle.plots.views import prepared_codes, views

__all__ = [
    "Direction",
    "Traversal",
    "content_statistics",
    "curves",
    "draw_points",
    "ellipses",
    "informative_dimensions",
    "interpolation_grid",
    "prepared_codes",
    "read_metrics",
    "save_gif",
    "save_png",
    "scatter",
    "swap_grid",
    "tile",
    "views",
]
