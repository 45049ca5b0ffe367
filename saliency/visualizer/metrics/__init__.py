"""Pictures of metrics, one kind a file: curves, and a ranking of methods."""
