"""What a worker has only when it is asked for: sealed receipts, tokens of an issuer, traces, a shared cache.

Their packages are imported here and then, so that a plain endpoint is as small as it can be.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdtrue.serving.control import Begin, Oidc
from holdtrue.serving.metrics import Metrics

if TYPE_CHECKING:
    from holdtrue.serving.oidc import Verifier
    from holdtrue.serving.sealing import Sealer
    from holdtrue.serving.shared_cache import SharedCache
    from holdtrue.serving.telemetry import Telemetry

CACHE_SECRET = "cache.secret"  # noqa: S105 - the name of its file


@dataclass(frozen=True, kw_only=True, slots=True)
class Extras:
    """None is what was not asked for."""

    sealer: "Sealer | None" = None
    voucher: "Verifier | None" = None
    telemetry: "Telemetry | None" = None
    shared: "SharedCache | None" = None

    @property
    def faults(self) -> list[str]:
        """Say what does not work now."""
        return [each.fault for each in (self.voucher, self.shared) if each is not None and each.fault]

    async def close(self) -> None:
        """End what goes on in threads and connections, once nothing more is answered."""
        loop = asyncio.get_running_loop()
        if self.sealer is not None:
            self.sealer.close()
        if self.shared is not None:
            await self.shared.close()
        if self.telemetry is not None:
            await loop.run_in_executor(None, self.telemetry.close)


def extras_of(begin: Begin, metrics: Metrics, loop: asyncio.AbstractEventLoop) -> Extras:
    """Make what the settings and the environment ask for."""
    return Extras(
        sealer=_sealer(begin, loop) if begin.subject else None,
        voucher=None if begin.oidc is None else _voucher(begin.oidc),
        telemetry=_telemetry(begin) if any(name.startswith("OTEL_") for name in os.environ) else None,
        shared=_shared(begin, metrics, loop) if begin.cache_url else None,
    )


def _sealer(begin: Begin, loop: asyncio.AbstractEventLoop) -> "Sealer":
    from holdtrue.serving.sealing import Sealer

    return Sealer(begin.subject, Path(begin.keys), soon=loop.call_soon_threadsafe)


def _voucher(oidc: Oidc) -> "Verifier":
    from holdtrue.serving.oidc import Issuer, verifier

    keys = Path(oidc.keys) if oidc.is_file else oidc.keys or None
    return verifier(Issuer(name=oidc.name, audience=oidc.audience, keys=keys), time.time())


def _telemetry(begin: Begin) -> "Telemetry | None":
    from holdtrue.serving.telemetry import telemetry

    return telemetry(begin.endpoint)


def _shared(begin: Begin, metrics: Metrics, loop: asyncio.AbstractEventLoop) -> "SharedCache":
    from holdtrue.serving.sealing import secret_of
    from holdtrue.serving.shared_cache import SharedCache

    secret = secret_of(Path(begin.keys) / CACHE_SECRET)
    return SharedCache(begin.cache_url, begin.cache_rows, secret, metrics, loop)
