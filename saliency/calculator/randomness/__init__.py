"""Random numbers by seed, and networks that are drawn from a posterior."""
