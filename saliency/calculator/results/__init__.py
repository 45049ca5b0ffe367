"""What becomes of samples: statistics, stores on disk, and work on a cluster."""
