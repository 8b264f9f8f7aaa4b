"""What a worker needs of an admitted release: handed over whole, so that a worker opens and verifies nothing itself."""

from typing import TYPE_CHECKING

import msgspec

from holdtrue.serving.packing import packed

if TYPE_CHECKING:
    from holdtrue.release.quarantine import Admitted


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A release as a worker takes it.

    Attributes:
        name: what clients call the model: the name of its project.
        contract, interface: the bytes of `contract.json` and `signature.json`.
        golden: typed columns by name, for warming up; `missing` is None.
        model: the bytes of the graph, as packing.py has it when `packed`.
    """

    digest: str
    name: str
    task: str
    classes: tuple[str, ...]
    contract: bytes
    interface: bytes
    golden: dict[str, list[float | str | None]]
    model: bytes
    packed: bool = False

    @property
    def version(self) -> str:
        """The name of the release among the versions of its model: the beginning of its digest."""
        return self.digest[:12]


def plan_of(admitted: "Admitted") -> Plan:
    """Take what a worker needs from a release that passed every check."""
    import io

    import polars as pl

    from holdtrue.features.session import columns
    from holdtrue.release.held import CONTRACT, GOLDEN, INTERFACE, MODEL
    from holdtrue.release.rows import inputs_of

    core, files = admitted.release.core, admitted.files
    golden = inputs_of(pl.read_parquet(io.BytesIO(files[GOLDEN])))
    together = packed(files[MODEL], columns(golden))
    return Plan(
        digest=admitted.release.digest,
        name=core.name,
        task=core.task,
        classes=core.classes,
        contract=files[CONTRACT],
        interface=files[INTERFACE],
        golden=golden.to_dict(as_series=False),
        model=together or files[MODEL],
        packed=together is not None,
    )
