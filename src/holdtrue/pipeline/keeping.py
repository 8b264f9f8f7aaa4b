"""Releases that are there: found, verified, named, listed, and thrown away when nothing needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from holdtrue.core.errors import Misuse
from holdtrue.core.files import write_whole
from holdtrue.pipeline.workspace import Home, alone, home_of, open_workspace
from holdtrue.registry.aliases import Alias, aliases_of, promote
from holdtrue.registry.catalog import Release, find_release, releases_page
from holdtrue.registry.database import Database, connect
from holdtrue.registry.gc import Item, Keep, collect, inventory, plan_gc, referenced_by
from holdtrue.registry.ledger import Entry, entries
from holdtrue.registry.note import load_signer, load_trusted
from holdtrue.registry.page import Page
from holdtrue.registry.sealing import Verified, seal, verify
from holdtrue.registry.sealing import trust as record_trust
from holdtrue.release.predictor import Predictor, load
from holdtrue.release.signing import TRUSTED, public_key, signing_key, trusted_keys
from holdtrue.spec.load import FILE

ORIGIN = "holdtrue"  # the first line of every checkpoint
UNNAMED = "unnamed"  # the project of a store that stands alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeper:
    """One project's part of a store: every deed on releases goes through here, and is sealed when it is done."""

    home: Home
    project: str
    actor: str

    def database(self) -> Database:
        if self.project == UNNAMED and not self.home.path.is_dir():
            raise Misuse(
                f"There is neither a project nor a store in {self.home.path.parent}.",
                do="Go to the folder of your project, or name it: --folder PATH",
            )
        return connect(self.home.database)

    def seal(self) -> None:
        """Sign what the ledger holds now."""
        key = signing_key(self.home.keys)
        seal(self.database(), origin=ORIGIN, by=load_signer(key.private, name=self.project), keep=self.home.checkpoint)

    def folder_of(self, name: str) -> Path:
        """Find a release by digest, the beginning of one, or alias; or take the folder of a bundle as it is."""
        if (Path(name) / "manifest.json").is_file():
            return Path(name).absolute()
        found = self.database().read(lambda connection: find_release(connection, name, project=self.project))
        folder = self.home.releases / found.digest
        if not folder.is_dir():
            raise Misuse(
                f"The catalog knows the release {found.digest[:12]}…, but {folder} is not there.",
                do="Restore the folder from a backup, or make the release again: holdtrue run",
            )
        return folder

    def predictor(self, name: str) -> Predictor:
        """Verify a release in full and make it ready to answer."""
        return load(self.folder_of(name), trusted=trusted_keys(self.home.keys))

    def releases(self, *, after: str | None = None, limit: int = 20) -> tuple[Page[Release], tuple[Alias, ...]]:
        database = self.database()
        return (
            database.read(lambda connection: releases_page(connection, project=self.project, after=after, limit=limit)),
            database.read(lambda connection: aliases_of(connection, self.project)),
        )

    def promote(self, name: str, alias: str, *, reason: str, now: datetime) -> tuple[str, bool]:
        """Give an alias to a release that passes every check; says its digest, and whether anything changed."""
        digest = self.predictor(name).release.digest
        if not (self.home.releases / digest).is_dir():
            raise Misuse(
                f"The release {digest[:12]}… is not one of this store.",
                do="Names are given to releases that were made here; use this one by its folder.",
            )
        changed = self.database().write(
            lambda connection: promote(
                connection, self.project, digest, alias, actor=self.actor, reason=reason, now=now
            )
        )
        self.seal()
        return digest, changed

    def ledger(self, *, after: str | None = None, limit: int = 20) -> Page[Entry]:
        return self.database().read(lambda connection: entries(connection, after=after, limit=limit))

    def verify(self) -> Verified:
        """Check the ledger against itself, the catalog, and the checkpoint kept beside it."""
        kept = self.home.checkpoint.read_text(encoding="utf-8") if self.home.checkpoint.is_file() else None
        trusted = load_trusted(trusted_keys(self.home.keys).values())
        return self.database().read(lambda connection: verify(connection, trusted=trusted, kept=kept))

    def trust(self, key: Path, *, now: datetime) -> tuple[str, bool]:
        """Accept the releases of another key from now on; says its fingerprint, and whether anything changed."""
        try:
            data = key.read_bytes()
        except OSError as error:
            raise Misuse(
                f"The key {key} cannot be read: {error.strerror}.", do="Name a file such as colleague.pub."
            ) from None
        pem, fingerprint = public_key(data, key)
        if fingerprint in trusted_keys(self.home.keys):
            return fingerprint, False
        # Named by what it is: two people may both call theirs signing.pub.
        write_whole(self.home.keys / TRUSTED / f"{fingerprint[:16]}.pub", pem)
        self.database().write(
            lambda connection: record_trust(
                connection, project=self.project, fingerprint=fingerprint, actor=self.actor, now=now
            )
        )
        self.seal()
        return fingerprint, True

    def collect(self, *, keep_days: int, delete: bool, now: datetime) -> tuple[Item, ...]:
        """Plan what may go; carry it out only when asked to."""
        keep = Keep(runs=timedelta(days=keep_days))
        database = self.database()
        with alone(self.home):
            held = database.read(lambda connection: referenced_by(connection, keep=keep, now=now))
            plan = plan_gc(inventory(self.home.path), held, keep=keep, now=now)
            if delete:
                collect(self.home.path, plan, database, project=self.project, actor=self.actor, now=now)
        if delete and plan:
            self.seal()
        return plan


def keeper_of(folder: Path, environ: Mapping[str, str], *, actor: str) -> Keeper:
    """Open the releases of a folder; a folder without a project file still holds a store, under its own name."""
    if (folder / FILE).is_file():
        workspace = open_workspace(folder, environ=environ)
        return Keeper(home=workspace.home, project=workspace.project.name, actor=actor)
    return Keeper(home=home_of(folder, environ), project=UNNAMED, actor=actor)
