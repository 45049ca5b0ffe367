"""Pictures of explanations: which visualizer draws one, and what it is told."""
