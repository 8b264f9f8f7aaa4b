"""Lets `python -m holdtrue.cli` be the command line."""

from holdtrue.cli.main import main

main()
