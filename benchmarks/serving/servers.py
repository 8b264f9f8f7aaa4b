"""Starts a peer, waits until it answers, holds its answers against the graph's own, and reads what it costs."""

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from environments import Failed
from keeper import below
from peers.peer import Peer, Place
from wires import Tensors, Wire

from holdtrue.features.runtime import session
from models import Model

HERE = Path(__file__).parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ANSWER_S = 60.0
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A server that is up. `keeper` is the process above all of its own."""

    peer: Peer
    model: Model
    port: int
    keeper: int

    def path(self, wire: Wire) -> str:
        return wire.path or self.peer.infer.format(name=self.model.name)

    def cpu_s(self) -> float:
        """Processor time of all its processes, those that ended included."""
        ticks = _ticks(self.keeper, ended_only=True)
        return (ticks + sum(_ticks(pid) for pid in below(self.keeper))) / TICKS_PER_S

    def memory(self) -> list[dict[str, str | float]]:
        """Memory of each of its processes; of what several share, each has its part (PSS)."""
        return [{"process": _command(pid), "mb": _pss_kb(pid) / 1024} for pid in below(self.keeper)]

    def request(self, wire: Wire, rows: Tensors) -> bytes:
        """Write a whole request, as load generators send it."""
        body = wire.encode(rows)
        headers = {"Host": f"127.0.0.1:{self.port}", **body.headers, "Content-Length": str(len(body.content))}
        lines = [f"POST {self.path(wire)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode() + body.content

    def ask(self, wire: Wire, rows: Tensors) -> tuple[dict[str, str], bytes]:
        path, body = self.path(wire), wire.encode(rows)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request("POST", path, body.content, dict(body.headers))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Failed(f"POST {path}: {error!r}") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise Failed(f"POST {path} gave {answer.status}: {content[:300].decode(errors='replace')}")
        return dict(answer.getheaders()), content


def _ticks(pid: int, *, ended_only: bool = False) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(value) for value in (fields[13:15] if ended_only else fields[11:15]))


def _command(pid: int) -> str:
    """Name what a process runs, without the folder of its interpreter."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "gone"
    return " ".join(Path(word).name if place == 0 else word for place, word in enumerate(words))[:120].strip()


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on, below those the system gives to clients.

    A port of the clients' own range could be taken by a connection before the server binds it.
    """
    chance = random.SystemRandom()
    found: list[int] = []
    while len(found) < count:
        port = chance.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


@contextmanager
def serving(peer: Peer, model: Model, programs: Path, folder: Path, core: int) -> Generator[Running]:
    """Run a server as long as the block lasts, in a folder that goes with it.

    Raises `Failed` with the end of its log when it does not come up.
    """
    port, *spare = free_ports(4)
    place = Place(model=model, folder=folder, programs=programs, port=port, spare=tuple(spare))
    environ = _written(peer, place)
    log = folder / "server.log"
    command = [sys.executable, str(HERE / "keeper.py"), str(core), *peer.command(place)]
    with log.open("ab") as said:
        keeper = subprocess.Popen(
            command,
            cwd=peer.where(place),
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    running = Running(peer=peer, model=model, port=port, keeper=keeper.pid)
    try:
        _await(running, keeper, log)
        yield running
    finally:
        _end(keeper)
        shutil.rmtree(folder, ignore_errors=True)


def _end(keeper: "subprocess.Popen[bytes]") -> None:
    """Let the keeper end its server; end both when it does not."""
    keeper.terminate()
    try:
        keeper.wait(timeout=30)
    except subprocess.TimeoutExpired:
        for pid in [*below(keeper.pid), keeper.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        keeper.wait()


def _written(peer: Peer, place: Place) -> dict[str, str]:
    """Lay out the server's folder; gives its variables."""
    (place.folder / "tmp").mkdir(parents=True, exist_ok=True)
    texts = {name: (HERE / "peers" / text).read_text() for name, text in peer.sources.items()}
    for name, text in {**texts, **peer.settings(place)}.items():
        (place.folder / name).write_text(text)
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "USER")}
    environ = {
        **kept,
        **ONE_THREAD,
        "PATH": f"{place.programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(place.folder) if peer.sources else "",
        "TMPDIR": str(place.folder / "tmp"),
        "BENCH_GRAPH": str(place.model.graph),
        "BENCH_NAME": place.model.name,
        "BENCH_PORT": str(place.port),
        **peer.environ,
    }
    for command in peer.first(place):
        done = subprocess.run(
            command, cwd=place.folder, env=environ, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode:
            raise Failed(f"{' '.join(command)}: {done.stderr[-500:]}")
    return environ


def _await(running: Running, keeper: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for the ready path, or for a first answer where there is none."""
    patience = time.monotonic() + running.peer.start_s
    while time.monotonic() < patience:
        if keeper.poll() is not None:
            raise Failed(f"ended with {keeper.returncode} before it answered: {_end_of(log)}")
        if _is_ready(running):
            return
        time.sleep(0.1)
    raise Failed(f"not ready after {running.peer.start_s:.0f} s: {_end_of(log)}")


def _is_ready(running: Running) -> bool:
    if running.peer.ready is None:
        try:
            running.ask(running.peer.wires["json"], running.model.rows(1, seed=0))
        except Failed:
            return False
        return True
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    try:
        connection.request("GET", running.peer.ready.format(name=running.model.name))
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end_of(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-6:])[-700:]


class Truth:
    """What the graph itself answers, in this process."""

    def __init__(self, model: Model) -> None:
        self.session = session(model.graph.read_bytes())
        self.outputs = [node.name for node in self.session.get_outputs()]

    def answer(self, tensors: Tensors) -> dict[str, np.ndarray]:
        answers = self.session.run(self.outputs, dict(tensors))
        return {name: np.asarray(answer) for name, answer in zip(self.outputs, answers, strict=True)}


def compare(running: Running, wire: Wire, truth: Truth, tensors: Tensors) -> float:
    """Ask once; gives the largest distance of a number from the truth, and raises `Failed` when it is not the same.

    Sums of another batch's size end in another last bit, and JSON may write fewer digits: hence the tolerance.
    """
    headers, content = running.ask(wire, tensors)
    try:
        given = wire.decode(headers, content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed(f"the answer cannot be read ({error!r}): {content[:300]!r}") from None
    furthest, compared = 0.0, 0
    for name, wanted in truth.answer(tensors).items():
        if name not in given:
            continue
        compared += 1
        got = given[name].reshape(wanted.shape)
        if wanted.dtype.kind == "O":
            if not np.array_equal(got.astype(str), wanted.astype(str)):
                raise Failed(f"{name} is not the graph's own answer: {got.ravel()[:3]}, not {wanted.ravel()[:3]}")
            continue
        apart = float(np.max(np.abs(got.astype(np.float64) - wanted.astype(np.float64)), initial=0.0))
        if not apart <= 1e-5:
            raise Failed(f"{name} is {apart:.3g} away from the graph's own answer")
        furthest = max(furthest, apart)
    if not compared:
        raise Failed(f"the answer holds none of the graph's outputs, but {sorted(given)}")
    return furthest
