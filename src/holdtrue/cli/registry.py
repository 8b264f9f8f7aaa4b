"""The verbs about releases that are there: list, name, show, export, trust, check and clean up."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holdtrue.cli.person import keeper, now
from holdtrue.cli.show import console, number, print_json, table
from holdtrue.core.errors import Misuse, nearest

if TYPE_CHECKING:
    from holdtrue.registry.ledger import Entry

FORMS = ("mlflow", "onnx", "kserve", "ray")


def releases(folder: Path, *, after: str | None, as_json: bool) -> int:
    page, named = keeper(folder).releases(after=after)
    names = {row.digest: [alias.name for alias in named if alias.digest == row.digest] for row in page.rows}
    if as_json:
        rows = [
            {
                "release": row.digest,
                "created": row.created.isoformat(),
                "aliases": names[row.digest],
                "verdict": dict(row.verdict),
                "parent": row.parent,
            }
            for row in page.rows
        ]
        print_json({"releases": rows, "after": page.after})
        return 0
    if not page.rows:
        console().print("There is no release yet. Make one: holdtrue run")
        return 0
    lines = [
        (
            row.digest[:12],
            row.created.strftime("%Y-%m-%d %H:%M"),
            ", ".join(names[row.digest]),
            str(row.verdict.get("model", "")),
        )
        for row in page.rows
    ]
    console().print(table("Releases", ("release", "made (UTC)", "aliases", "model"), lines))
    if page.after:
        console().print(f"There are more: holdtrue releases --after {page.after}")
    return 0


def promote(release: str, alias: str, reason: str, folder: Path, *, as_json: bool) -> int:
    from holdtrue.cli.serving import print_moved
    from holdtrue.pipeline.following import move

    print_moved(move(keeper(folder), release, alias, reason=reason, now=now()), alias, as_json=as_json)
    return 0


def ledger(act: str, folder: Path, *, after: str | None, as_json: bool) -> int:
    kept = keeper(folder)
    if act == "verify":
        found = kept.verify()
        if as_json:
            print_json(
                {
                    "verified": True,
                    "entries": found.count,
                    "root": found.root,
                    "sealed": found.sealed,
                    "signed": found.signed,
                }
            )
        else:
            console().print(
                f"The ledger holds together: {found.count} entries, {found.sealed} of them under a signed checkpoint."
            )
        return 0
    if act != "show":
        raise Misuse(f"The ledger cannot {act!r}{nearest(act, ['show', 'verify'])}")
    page = kept.ledger(after=after)
    if as_json:
        rows = [
            {"seq": row.seq, "time": row.time, "actor": row.actor, "action": row.action, "project": row.project,
             "subject": row.subject, "detail": dict(row.detail)}
            for row in page.rows
        ]  # fmt: skip
        print_json({"entries": rows, "after": page.after})
        return 0
    if not page.rows:
        console().print("Nothing is written in the ledger yet. Start with: holdtrue run")
        return 0
    lines = [(str(row.seq), row.time[:19], row.actor, row.action, _short(row.subject), _more(row)) for row in page.rows]
    heads = ("entry", "time (UTC)", "who", "what", "about", "")
    console().print(table("Ledger, newest first", heads, lines, right=(0,)))
    if page.after:
        console().print(f"There are more: holdtrue ledger --after {page.after}")
    return 0


def _short(subject: str) -> str:
    """Cut a digest, and leave the names that people gave."""
    return subject[:12] if len(subject) == 64 else subject


def _more(entry: "Entry") -> str:
    """Pick from the particulars of an entry what tells it from others of its kind."""
    detail = entry.detail
    match entry.action:
        case "alias moved":
            return f"{detail.get('alias')}{': ' if detail.get('reason') else ''}{detail.get('reason')}"
        case "run recorded":
            return str(detail.get("verdict") or detail.get("state"))
        case "token issued" | "token revoked":
            return str(detail.get("name"))
        case "endpoint opened":
            return str(detail.get("url"))
        case "traffic changed":
            return str(detail.get("reason") or "")
        case "hold-out used":
            return f"use {detail.get('number')}"
        case _:
            return ""


def card(release: str, folder: Path, *, as_json: bool) -> int:
    ready = keeper(folder).predictor(release)
    text = (ready.release.folder / "card.md").read_text(encoding="utf-8")
    if as_json:
        print_json({"release": ready.release.digest, "card": text})
    else:
        print(text)
    return 0


def export(form: str, release: str, out: Path, folder: Path, *, as_json: bool) -> int:
    if form not in FORMS:
        raise Misuse(f"A release cannot be exported as {form!r}{nearest(form, FORMS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Misuse(f"{out} is there already.", do="Name a new place, or remove it first.")
    ready = keeper(folder).predictor(release)
    if form == "onnx":
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ready.release.folder / "model.onnx", out)
    else:
        _writer(form)(ready.release.folder, out)
    if as_json:
        print_json({"release": ready.release.digest, "form": form, "out": str(out)})
    else:
        console().print(f"Wrote {ready.release.digest[:12]} for {form} to {out}.")
    return 0


def _writer(form: str) -> Callable[[Path, Path], None]:
    """Find what writes a folder of a form; only that is imported."""
    match form:
        case "kserve":
            from holdtrue.release.kserve_export import export_kserve

            return export_kserve
        case "ray":
            from holdtrue.release.ray_export import export_ray

            return export_ray
        case _:
            from holdtrue.release.mlflow_export import export_mlflow

            return export_mlflow


def trust(key: Path, folder: Path, *, as_json: bool) -> int:
    fingerprint, changed = keeper(folder).trust(key, now=now())
    if as_json:
        print_json({"trusted": fingerprint, "changed": changed})
    elif not changed:
        console().print(f"Releases signed by {fingerprint[:16]}… are accepted already; nothing changed.")
    else:
        console().print(f"Releases signed by {fingerprint[:16]}… are accepted from now on.")
    return 0


def gc(folder: Path, *, delete: bool, keep_days: int, as_json: bool) -> int:
    from holdtrue.pipeline.retention import collect

    plan = collect(keeper(folder), folder, os.environ, keep_days=keep_days, delete=delete, now=now())
    size = sum(item.size_bytes for item in plan)
    if as_json:
        items = [{"kind": item.kind, "path": item.path, "bytes": item.size_bytes} for item in plan]
        print_json({"deleted": delete, "bytes": size, "items": items})
        return 0
    if not plan:
        console().print("Everything in the store is needed.")
        return 0
    lines = [(item.kind, item.path, number(item.size_bytes)) for item in plan]
    console().print(table("", ("kind", "path", "bytes"), lines, right=(2,)))
    done = "Deleted" if delete else "Would delete"
    more = "" if delete else " Delete them: holdtrue gc --delete"
    console().print(f"{done} {len(plan)} things, {number(size)} bytes.{more}")
    return 0


def doctor(folder: Path, *, as_json: bool) -> int:
    from holdtrue.pipeline.doctor import examine

    found = examine(folder, os.environ, python=sys.version.split()[0])
    if as_json:
        print_json({"healthy": all(each.well for each in found), "checks": [each.to_json() for each in found]})
    else:
        lines = [("ok" if each.well else "WRONG", each.name, each.told) for each in found]
        console().print(table("", ("", "what", "found"), lines))
    return 0 if all(each.well for each in found) else 1
