"""What comes in: data sets of images or vectors with named factors, and their readers."""

from unmingle.data.dataset import FactorDataset
from unmingle.data.readers import load_data

__all__ = ["FactorDataset", "load_data"]
