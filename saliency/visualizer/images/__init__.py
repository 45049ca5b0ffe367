"""Pictures of images: maps over photographs, filters as tiles."""
