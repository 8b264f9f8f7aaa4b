"""Where an endpoint listens: sockets that are its own, though the processes of one endpoint share a port."""

import errno
import os
import socket
import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdtrue.core.errors import Misuse

BACKLOG = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where an endpoint listens: a host and port, or the path of a Unix socket.

    Attributes:
        grpc_port: the port of the same host at which it also answers gRPC; None: it does not.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    uds: str = ""
    grpc_port: int | None = None

    @property
    def loopback(self) -> bool:
        unseen = bool(self.uds) and self.grpc_port is None
        return unseen or self.host in ("127.0.0.1", "::1", "localhost")


def listeners(address: Address, workers: int) -> list[socket.socket]:
    """Bind one socket for each worker; raises `Misuse` when the address cannot be had."""
    try:
        if address.uds:
            one = _unix(Path(address.uds))
            return [one, *(one.dup() for _ in range(workers - 1))]
        return _shared(address.host, address.port, workers)
    except OSError as error:
        where = address.uds or f"{address.host}:{address.port}"
        raise Misuse(
            f"Nothing can listen at {where}: {error.strerror}.", do="Choose another with --port, or end what holds it."
        ) from None


def _shared(host: str, port: int, workers: int) -> list[socket.socket]:
    """Take a port for ourselves, and only then share it among our own.

    Sockets that all ask to share a port may belong to two endpoints of one user, and each would get half of the
    requests. So the first one listens alone, which the system refuses when anybody listens there already.
    """
    family = _family(host)
    made: list[socket.socket] = []
    try:
        for place in range(workers):
            listener = socket.socket(family, socket.SOCK_STREAM)
            made.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if place:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((host, port))
            listener.listen(BACKLOG)
            if not place:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            port = listener.getsockname()[1]
    except OSError:
        for listener in made:
            listener.close()
        raise
    return made


def kept_port(host: str, port: int) -> socket.socket:
    """Keep a port for gRPC: the workers listen at it themselves. Raises `Misuse` when it cannot be had."""
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
            # Workers share the port, so another server of ours could too: this one shares it with nobody.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = probe.getsockname()[1]
        kept = socket.socket(_family(host), socket.SOCK_STREAM)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        kept.bind((host, port))
    except OSError as error:
        raise Misuse(
            f"Nothing can listen at {host}:{port}: {error.strerror}.",
            do="Choose another with --grpc-port, or end what holds it.",
        ) from None
    return kept


def encryption(certificate: str, private_key: str, client_ca: str) -> ssl.SSLContext | None:
    """Give the context for encrypted connections; with a CA for clients, they must show a certificate too."""
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.load_cert_chain(certificate, private_key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def private_socket(path: Path) -> socket.socket:
    """Bind a Unix socket that only we can open; one that a killed process left is replaced, a live one is not."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.parent.stat().st_uid != os.getuid():
        raise Misuse(f"{path.parent} belongs to somebody else.", do="Remove it, or set TMPDIR to a folder of yours.")
    old = os.umask(0o177)
    try:
        return _unix(path)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Misuse("This endpoint is served already.", do="See it: holdtrue status") from None
        raise Misuse(f"{path} cannot be opened: {error.strerror}.", do="Remove what is there.") from None
    finally:
        os.umask(old)


def _unix(path: Path) -> socket.socket:
    """Bind a Unix socket; one that a killed process left is replaced, a live one is not."""
    with suppress(FileNotFoundError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if stat.S_ISSOCK(path.lstat().st_mode) and probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
