"""An issuer to test with: keys of every kind, tokens signed by hand, and a real server that gives the keys out."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

NOW_S = 1_772_366_400.0
AUDIENCE = "holdtrue-test"
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def integer(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@cache
def private(kind: str, number: int = 0) -> Private:
    """Make a key, the same one whenever it is asked for by the same words."""
    match kind:
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "RSA-1024":
            return rsa.generate_private_key(65537, 1024)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            raise AssertionError(kind)


def jwk(key: Private, name: str | None = None, **more: object) -> dict[str, object]:
    """Write the public half of a key."""
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.public_key().public_numbers()
            made: dict[str, object] = {"kty": "RSA", "n": integer(numbers.n), "e": integer(numbers.e)}
        case ec.EllipticCurvePrivateKey():
            point, size = key.public_key().public_numbers(), (key.key_size + 7) // 8
            x, y = (base64url(value.to_bytes(size, "big")) for value in (point.x, point.y))
            made = {"kty": "EC", "crv": f"P-{key.key_size}", "x": x, "y": y}
        case _:
            x = base64url(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
            made = {"kty": "OKP", "crv": "Ed25519", "x": x}
    return made | ({} if name is None else {"kid": name}) | more


def jwks(*keys: Mapping[str, object]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def _sign(key: Private | bytes | None, data: bytes) -> bytes:
    match key:
        case None:
            return b""
        case bytes():
            return hmac.new(key, data, hashlib.sha256).digest()
        case rsa.RSAPrivateKey():
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        case ec.EllipticCurvePrivateKey():
            size = (key.key_size + 7) // 8
            pair = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
            return b"".join(value.to_bytes(size, "big") for value in pair)
        case _:
            return key.sign(data)


def signed(
    header: Mapping[str, object] | bytes, payload: Mapping[str, object] | bytes, key: Private | bytes | None
) -> bytes:
    """Put a token together from any parts; bytes as a key make an HMAC, None leaves the signature empty."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, payload)]
    data = ".".join(base64url(part) for part in parts).encode()
    return data + b"." + base64url(_sign(key, data)).encode()


def claims(issuer: str, **more: object) -> dict[str, object]:
    """Say what a good token says; a claim given as None is left out."""
    said: dict[str, object] = {
        "iss": issuer, "aud": AUDIENCE, "sub": "ada", "exp": int(NOW_S) + 300, "nbf": int(NOW_S), "iat": int(NOW_S),
        "scope": "openid holdtrue:predict",
    }  # fmt: skip
    return {name: value for name, value in (said | more).items() if value is not None}


@dataclass(kw_only=True)
class Server:
    """A server on this machine. `answers` maps a path to a status and a body; `asked` are the paths in order."""

    address: str = ""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict[str, tuple[int, bytes]])
    asked: list[str] = field(default_factory=list[str])
    pause_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def give(self, *keys: Mapping[str, object]) -> None:
        """Put these keys where the discovery of this issuer names them."""
        about: dict[str, Any] = {"issuer": self.address, "jwks_uri": f"{self.address}/keys"}
        self.answers["/.well-known/openid-configuration"] = (200, json.dumps(about).encode())
        self.answers["/keys"] = (200, jwks(*keys))


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Generator[Server]:
    """Run a real HTTP server on a free port, with TLS when it is given a certificate."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            status, body = server.answers.get(self.path, (404, b""))
            time.sleep(server.pause_s)
            self.send_response(status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.address = f"{'http' if context is None else 'https'}://127.0.0.1:{http.server_address[1]}"
        if context is not None:
            http.socket = context.wrap_socket(http.socket, server_side=True)
        thread = threading.Thread(target=http.serve_forever, args=[0.01], daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def certificate(folder: Path) -> Path:
    """Make a key for 127.0.0.1 with a certificate that it signed itself, both in one file."""
    key, name = private("ES256"), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    (folder / "certificate.pem").write_bytes(pem)
    return folder / "certificate.pem"


def until(claim: Callable[[], bool]) -> None:
    """Wait until something that happens in a thread has happened."""
    deadline = time.monotonic() + 60
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.002)
