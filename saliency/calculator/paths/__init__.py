"""Baselines, the paths that lead from them, and the windows that cover a target."""
