"""Numbers only: what things cost."""
