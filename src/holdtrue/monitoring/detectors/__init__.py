"""Detectors of a change in a stream of numbers, one file each."""
