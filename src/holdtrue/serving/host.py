"""What a worker computes with: written beside its receipts, for the day when a replay gives other bits."""

import platform
import re
from importlib.metadata import version
from pathlib import Path

import msgspec

LIBRARIES = ("holdtrue", "onnxruntime", "numpy")
# The instructions by which numeric kernels choose their code.
FEATURES = re.compile(r"sse\w*|ssse3|avx\w*|fma\w*|f16c|amx\w*|neon|asimd\w*|sve\w*|bf16|i8mm|sme\w*")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The libraries, the processor and the provider of one process."""

    libraries: dict[str, str]
    python: str
    machine: str
    processor: str
    features: tuple[str, ...]
    provider: str = "CPUExecutionProvider"


def this_host() -> Host:
    """Describe the process that asks."""
    try:
        about = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        about = ""
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", about, re.MULTILINE)
    name = re.search(r"^model name\s*:\s*(.*)$", about, re.MULTILINE)
    return Host(
        libraries={library: version(library) for library in LIBRARIES},
        python=platform.python_version(),
        machine=platform.machine(),
        processor=name[1] if name else platform.processor(),
        features=tuple(sorted({flag for flag in (flags[1] if flags else "").split() if FEATURES.fullmatch(flag)})),
    )


def host_file(folder: Path, stream: int) -> Path:
    """Name the file that describes the writer of a stream of receipts."""
    return folder / f"{stream:08x}.host.json"


def differences(then: Host, now: Host) -> list[str]:
    """Say in which ways two processes compute differently, the likeliest first.

    >>> host = this_host()
    >>> other = msgspec.structs.replace(host, libraries={**host.libraries, "onnxruntime": "0.9"})
    >>> differences(other, host)[0].startswith("onnxruntime 0.9 then, ")
    True
    """
    found = [
        f"{name} {then.libraries.get(name)} then, {now.libraries.get(name)} now"
        for name in (*LIBRARIES, *sorted({*then.libraries, *now.libraries} - {*LIBRARIES}))
        if then.libraries.get(name) != now.libraries.get(name)
    ]
    if then.provider != now.provider:
        found.append(f"the provider {then.provider} then, {now.provider} now")
    if then.machine != now.machine:
        found.append(f"a {then.machine} then, a {now.machine} now")
    gone, new = sorted({*then.features} - {*now.features}), sorted({*now.features} - {*then.features})
    if gone or new:
        parts = [f"without {', '.join(gone)} now" if gone else "", f"with {', '.join(new)} now" if new else ""]
        found.append(f"the processor is {' and '.join(filter(None, parts))}")
    if not found and then.processor != now.processor:  # kernels also choose by the size of caches
        found.append(f"another processor: {then.processor} then, {now.processor} now")
    return found
