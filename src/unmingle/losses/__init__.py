"""Losses without a network: short pure functions, each naming its paper and equation."""
