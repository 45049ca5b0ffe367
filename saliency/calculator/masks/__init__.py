"""Masks: what is absent in each step, what stands in its place, and what follows."""
