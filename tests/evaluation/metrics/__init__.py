"""Every metric, and its interval."""
