"""The work of one compute call: it knows a recipe, and no calculator."""
