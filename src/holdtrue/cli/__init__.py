"""The command line: the only place that sees everything and speaks to people."""
