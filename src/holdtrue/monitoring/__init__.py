"""What becomes of a release in use: whether what it is asked still looks as it did, and whether it keeps its promises.

Plug-ins live in `detectors`: they look at one stream of numbers and say when its level has changed.
"""
