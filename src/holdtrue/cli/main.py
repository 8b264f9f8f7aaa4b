"""The command line: one verb for each thing people do, thin over the pipeline.

Heavy packages are imported inside the commands, so that `holdtrue --help` answers at once.
"""

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from holdtrue import __version__
from holdtrue.cli.endpoint import add_endpoint_verbs
from holdtrue.cli.guard import guarded, hear_interrupts, misused
from holdtrue.cli.options import HERE, AsJson, Folder, Person, Profile, Release
from holdtrue.core.errors import Misuse, nearest

app = typer.Typer(
    name="holdtrue",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"max_content_width": 120},
    help="From a data file to a signed model whose promises are proven.",
    epilog="Start with: holdtrue init DATA.csv --target COLUMN, then: holdtrue run",
)


def _version(asked: bool) -> None:
    if asked:
        print(f"holdtrue {__version__}")
        raise typer.Exit


@app.callback()
def settings(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if debug:
        os.environ["HOLDTRUE_DEBUG"] = "1"


@app.command(epilog="Example: holdtrue init bookings.csv --target is_canceled")
@guarded
def init(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A csv, parquet, arrow or jsonl file, a folder, or a database URL.")
    ],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    folder: Folder = HERE,
    query: Annotated[str | None, typer.Option(help="The SELECT to run when FILE is a database URL.")] = None,
    time: Annotated[list[str] | None, typer.Option(help="The time column; say it again for year, month, day.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A column the model must not see.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over existing files.")] = False,
    as_json: AsJson = False,
) -> int:
    """Guess a project from a file and say why. Writes holdtrue.yaml and contract.yaml."""
    from holdtrue.cli.verbs import init

    return init(file, target, folder, query=query, time=time or [], drop=drop or [], force=force, as_json=as_json)


@app.command(epilog="Example: holdtrue run --json | jq .verdict")
@guarded
def run(
    folder: Folder = HERE,
    profile: Profile = None,
    as_json: AsJson = False,
) -> int:
    """Walk from the data to a release: train, prove, judge, sign. Exit code 3: refuted, 4: unproven."""
    from holdtrue.cli.verbs import run

    return run(folder, profile=profile, as_json=as_json)


@app.command(epilog="Example: holdtrue why 3fa9")
@guarded
def why(
    about: Annotated[
        str | None,
        typer.Argument(
            metavar="ABOUT",
            help="A run, release, prediction or alarm by its id, a column, a promise, or loop. Else: what is wrong.",
        ),
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Say what is wrong now, or why something is as it is."""
    from holdtrue.cli.verbs import why

    return why(about, folder, as_json=as_json)


@app.command(epilog="Example: holdtrue predict champion new.csv --out predictions.csv")
@guarded
def predict(
    release: Release,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The rows to predict.")],
    out: Annotated[Path, typer.Option(help="Where to write: .csv, .parquet, .jsonl or .arrow; a folder with Ray.")],
    engine: Annotated[
        str, typer.Option(metavar="here|ray", help="With Ray: a folder of Parquet, block by block on many processors.")
    ] = "here",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Predict the rows of a file with a verified release."""
    from holdtrue.cli.verbs import predict

    return predict(release, file, out, folder, engine=engine, as_json=as_json)


@app.command(epilog="Example: holdtrue reproduce champion")
@guarded
def reproduce(
    release: Release,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Train a release again from its lineage. Says that it is the same, or the first difference."""
    from holdtrue.cli.verbs import reproduce

    return reproduce(release, folder, as_json=as_json)


@app.command(epilog="Example: holdtrue releases")
@guarded
def releases(
    folder: Folder = HERE,
    after: Annotated[str | None, typer.Option(help="The mark that the page before ended with.")] = None,
    as_json: AsJson = False,
) -> int:
    """List the releases of this project, newest first."""
    from holdtrue.cli.registry import releases

    return releases(folder, after=after, as_json=as_json)


@app.command(epilog="Example: holdtrue promote 3fa9 champion --reason 'better on new guests'")
@guarded
def promote(
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="A release digest (or its beginning), or an alias.")
    ],
    alias: Annotated[
        str, typer.Argument(metavar="ALIAS", help="The name to move, such as champion or challenger.")
    ] = "champion",
    reason: Annotated[str, typer.Option(help="Why; it is kept in the ledger.")] = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Give a release a name. The ledger keeps who did it, when and why."""
    from holdtrue.cli.registry import promote

    return promote(release, alias, reason, folder, as_json=as_json)


@app.command(epilog="Example: holdtrue ledger verify")
@guarded
def ledger(
    act: Annotated[str, typer.Argument(metavar="show|verify", help="What to do with it.")] = "show",
    folder: Folder = HERE,
    after: Annotated[str | None, typer.Option(help="The mark that the page before ended with.")] = None,
    as_json: AsJson = False,
) -> int:
    """Show the history of decisions, or verify it: nobody rewrote it."""
    from holdtrue.cli.registry import ledger

    return ledger(act, folder, after=after, as_json=as_json)


@app.command(epilog="Example: holdtrue card champion > MODEL_CARD.md")
@guarded
def card(
    release: Release,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Print the model card of a release."""
    from holdtrue.cli.registry import card

    return card(release, folder, as_json=as_json)


@app.command(epilog="Example: holdtrue export mlflow champion --out exported")
@guarded
def export(
    form: Annotated[str, typer.Argument(metavar="mlflow|onnx|kserve|ray", help="The form to write.")],
    release: Release,
    out: Annotated[Path, typer.Option(help="Where to write.")],
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Write a release in the form another tool reads."""
    from holdtrue.cli.registry import export

    return export(form, release, out, folder, as_json=as_json)


@app.command(epilog="Example: holdtrue trust colleague.pub")
@guarded
def trust(
    key: Annotated[
        Path, typer.Argument(metavar="FILE", help="A public key (PEM) whose releases this project may use.")
    ],
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Trust releases signed by another key."""
    from holdtrue.cli.registry import trust

    return trust(key, folder, as_json=as_json)


@app.command(epilog="Example: holdtrue doctor")
@guarded
def doctor(folder: Folder = HERE, as_json: AsJson = False) -> int:
    """Check the machine, the project, the store and the catalog."""
    from holdtrue.cli.registry import doctor

    return doctor(folder, as_json=as_json)


@app.command(epilog="Example: holdtrue gc --delete")
@guarded
def gc(
    folder: Folder = HERE,
    delete: Annotated[bool, typer.Option("--delete", help="Really delete; only tells otherwise.")] = False,
    keep_days: Annotated[int, typer.Option(min=0, help="Keep the runs of so many days.")] = 30,
    as_json: AsJson = False,
) -> int:
    """Tell (or delete) what no release, alias or recent run needs."""
    from holdtrue.cli.registry import gc

    return gc(folder, delete=delete, keep_days=keep_days, as_json=as_json)


add_endpoint_verbs(app)


@app.command(epilog="Example: holdtrue replay --since 12h")
@guarded
def replay(
    prediction: Annotated[str | None, typer.Argument(metavar="PREDICTION", help="The id of one prediction.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every prediction that was recorded.")] = False,
    since: Annotated[str | None, typer.Option(help="From a time on, or from so long ago: 30m, 12h, 7d.")] = None,
    until: Annotated[str | None, typer.Option(help="Before a time.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Make recorded predictions again, and compare every bit. Exit code 1: some are not the same."""
    from holdtrue.cli.traffic import replay

    return replay(prediction, folder, everything=everything, since=since, until=until, as_json=as_json)


@app.command(epilog="Example: holdtrue label outcomes.csv --value is_canceled --key booking_id")
@guarded
def label(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Rows with what turned out true.")],
    value: Annotated[str, typer.Option(help="The column that holds it.")] = "value",
    key: Annotated[
        list[str] | None, typer.Option(help="A column that names the row; prediction_id when left out.")
    ] = None,
    source: Annotated[str, typer.Option(help="Who says so.")] = "file",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Keep what turned out true, for predictions that were made."""
    from holdtrue.cli.traffic import label

    return label(file, folder, value=value, key=key or [], source=source, as_json=as_json)


@app.command(epilog="Example: holdtrue forget guest-4711 --column guest")
@guarded
def forget(
    person: Person,
    column: Annotated[str, typer.Option(help="The column of the data that names persons: their rows go too.")] = "",
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Erase a person: the key to what was recorded, and the rows."""
    from holdtrue.cli.traffic import forget

    return forget(person, folder, column=column, as_json=as_json)


@app.command(epilog="Example: holdtrue token new --name ci --scope predict --days 90")
@guarded
def token(
    act: Annotated[str, typer.Argument(metavar="new|list|revoke", help="What to do.")] = "list",
    about: Annotated[str | None, typer.Argument(metavar="TOKEN", help="The id (or the secret) to revoke.")] = None,
    name: Annotated[str, typer.Option(help="Whom a new token is for.")] = "unnamed",
    scope: Annotated[
        list[str] | None, typer.Option(help="predict, label, read, operate or admin; say it again for more.")
    ] = None,
    days: Annotated[int, typer.Option(min=0, help="How long it lasts; 0: until it is revoked.")] = 90,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> int:
    """Give out, list or revoke the tokens that callers show. The secret of a new one is printed once."""
    from holdtrue.cli.tokens import token_list, token_new, token_revoke

    if act == "new":
        return token_new(name, scope or ["predict"], days, folder, as_json=as_json)
    if act == "revoke" and about is not None:
        return token_revoke(about, folder, as_json=as_json)
    if act == "list":
        return token_list(folder, as_json=as_json)
    known = ["new", "list", "revoke"]
    raise Misuse(f"`token {act}` needs a TOKEN." if act in known else f"There is no act {act!r}{nearest(act, known)}")


def main() -> None:
    """Run the command line; misuse ends with exit code 2."""
    if "--debug" in sys.argv:  # wherever it stands
        sys.argv = [sys.argv[0], *(word for word in sys.argv[1:] if word != "--debug")]
        os.environ["HOLDTRUE_DEBUG"] = "1"
    if not os.environ.get("HOLDTRUE_DEBUG"):
        warnings.simplefilter("ignore")  # of the libraries below; what matters to people is said in words
    hear_interrupts()
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        code = misused(error, as_json="--json" in sys.argv)
    sys.exit(code or 0)
