"""Pictures of tables: one file a kind, and what their panels share."""
