"""What a benchmark says about the machine it ran on."""

from unmingle.bench._machine import machine, processor

__all__ = ["machine", "processor"]
