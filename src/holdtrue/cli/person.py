"""Who sits at the command line, and when: read here and passed down, for nothing below asks."""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path

from holdtrue.pipeline.keeping import Keeper, keeper_of


def actor() -> str:
    """Name who acts, for the ledger: `HOLDTRUE_ACTOR`, or the name of the account."""
    try:
        return os.environ.get("HOLDTRUE_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def now() -> datetime:
    return datetime.now(UTC)


def keeper(folder: Path) -> Keeper:
    return keeper_of(folder, os.environ, actor=actor())
