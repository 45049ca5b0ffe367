"""Pictures of texts: what a page shows, on axes and as HTML."""
