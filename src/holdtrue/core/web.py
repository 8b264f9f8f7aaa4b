"""One request to another machine: TLS, no redirect, no proxy, bounded in bytes and in seconds.

What is asked for is named by the owner of a project, yet a name can come to point into the owner's own network later.
So a host is looked up once, every address it has is checked, and the one that was checked is connected to.
"""

import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from holdtrue.core.errors import HoldtrueError, Misuse, Refused

PATIENCE_S = 10.0
MOST_BYTES = 256 * 1024


class Unreached(HoldtrueError):
    """The other machine did not answer, or not as it should; asking again later may help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What was answered; never more than was allowed."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def checked_url(url: str) -> SplitResult:
    """Take an address apart; raises `Misuse` unless it is https, or stays on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises when it is no number
    except ValueError as error:
        raise Misuse(f"{url!r} is not an address: {error}.", do="Write https://host/path.") from None
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if not host or parts.username is not None or parts.fragment or not is_plain:
        raise Misuse(f"{url!r} is not a plain address.", do="Write https://host/path, without a name or a fragment.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        raise Misuse(f"{url!r} is not fetched over TLS, so anybody could answer.", do="Write https://host/path.")
    return parts


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def ask(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    inside: bool = True,
    most_bytes: int = MOST_BYTES,
    patience_s: float = PATIENCE_S,
) -> Reply:
    """Send one request, POST where there is a body, and give the answer whatever its status.

    With `inside` the host may be of a private network; without, every address it has must be a public one, unless the
    address itself says that it stays on this machine.
    Raises `Misuse` for an address that is none, `Refused` for one that must not be asked, and `Unreached`.
    """
    parts = checked_url(url)
    host, target = parts.hostname or "", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(parts, patience_s)
    end = threading.Timer(patience_s, lambda: _cut(connected))
    end.daemon = True
    try:
        connected = connection.sock = _connected(host, connection.port, patience_s, inside=inside or _is_here(host))
        if isinstance(connection, HTTPSConnection):
            connected = connection.sock = ssl.create_default_context().wrap_socket(
                connected, server_hostname=host, do_handshake_on_connect=False
            )
        # The timeout of a socket is for each read; one byte a second would never end.
        end.start()
        if isinstance(connected, ssl.SSLSocket):
            connected.do_handshake()
        connection.request("GET" if body is None else "POST", target, body, dict(headers or {}))
        answer = connection.getresponse()
        data = answer.read(most_bytes + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise Unreached(
            f"{url} cannot be reached: {error or type(error).__name__}.", do="Check the address and the network."
        ) from None
    finally:
        end.cancel()
        connection.close()
    if len(data) > most_bytes:
        raise Refused(f"{url} answered with more than {most_bytes:,} bytes.", do="Check the address.")
    return Reply(status=answer.status, body=data, headers={name.lower(): value for name, value in answer.getheaders()})


def _connection(parts: SplitResult, patience_s: float) -> HTTPConnection:
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=patience_s)


def _connected(host: str, port: int, patience_s: float, *, inside: bool) -> socket.socket:
    """Connect to one of the addresses that were checked: a second look-up could give others."""
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not inside and (hidden := sorted(each for each in found if not ip_address(each).is_global)):
        raise Refused(
            f"{host} is {hidden[0]}, an address of a private network, which is not asked.",
            do="If that is meant, say so beside the address: private: true",
        )
    last: OSError | None = None
    for address in sorted(found, key=lambda each: (":" in each, each)):
        try:
            return socket.create_connection((address, port), timeout=patience_s)
        except OSError as error:
            last = error
    raise last or OSError("the name has no address")


def _cut(connected: socket.socket) -> None:
    with suppress(OSError):  # it may have ended by itself meanwhile
        connected.shutdown(socket.SHUT_RDWR)
