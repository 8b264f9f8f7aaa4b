"""Metrics, one a file; the name of the file is the name in the project file."""
