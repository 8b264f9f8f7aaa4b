"""The image: linted, and what it runs at its start tried with the same words outside of a container."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from holdtrue.serving.supervisor import DRAIN_S
from tests.deploy.conftest import Given, certificate

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
TOOLS = Path(sys.executable).parent
LINES = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text()).splitlines()


def words_of(instruction: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in LINES if line.startswith(f"{instruction} ")]


def test_the_linter_finds_nothing() -> None:
    done = subprocess.run([TOOLS / "hadolint", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_small_pinned_and_not_root() -> None:
    assert len(words_of("FROM")) == 2
    assert all(":" in image and "latest" not in image for image in words_of("FROM"))
    assert "-c constraints.txt" in next(line for line in words_of("RUN") if "pip install" in line)
    assert words_of("USER") == ["10001:10001"]
    assert not any(word in "\n".join(LINES) for word in ("[dev]", "torch", "ADD "))


def test_what_it_runs_by_itself_is_encrypted() -> None:
    (command,) = map(json.loads, words_of("CMD"))
    assert "--tls-cert" in command
    assert "--insecure" not in command
    assert json.loads(words_of("ENTRYPOINT")[0]) == ["start"]
    assert words_of("HEALTHCHECK")[0].endswith('CMD ["healthy"]')


def test_everything_that_it_copies_is_sent_to_the_build() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = {word for line in words_of("COPY") if "--from" not in line for word in line.split()[:-1]}
    assert {word.removeprefix("./") for word in copied if not word.startswith("--")} <= sent
    assert ignored[0] == "*"
    for name in sent:
        assert (DEPLOY.parent / name).exists()


@contextmanager
def started(given: Given, *words: str) -> Generator[int]:
    """Run what the image runs, with its folders here; gives the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = {
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "HOLDTRUE_HOME": str(given.home),
        "HOLDTRUE_GIVEN": str(given.given),
        "HOLDTRUE_HEALTH_PORT": str(port),
        "HOME": "/nowhere",
    }
    command = [DEPLOY / "start", "serve", given.release, "--host", "0.0.0.0", "--port", str(port), *words]
    process = subprocess.Popen(command, env=environ, cwd=given.home)
    try:
        deadline = time.monotonic() + 60
        while not healthy(port):
            assert process.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it never became healthy"
            time.sleep(0.1)
        yield port
        process.terminate()
        assert process.wait(DRAIN_S) == 0
    finally:
        process.kill()
        process.wait()


def healthy(port: int) -> bool:
    environ = {"PATH": f"{TOOLS}:{os.environ['PATH']}", "HOLDTRUE_HEALTH_PORT": str(port)}
    return subprocess.run([DEPLOY / "healthy"], env=environ, check=False).returncode == 0


def status_of(question: Request, context: ssl.SSLContext | None = None) -> int:
    try:
        with urlopen(question, timeout=10, context=context) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def rows(url: str, **headers: str) -> Request:
    return Request(f"{url}/predict", b'[{"age": 29, "city": "Oslo"}]', {"content-type": "application/json", **headers})


@pytest.mark.slow
def test_behind_a_mesh_it_answers_with_a_release_of_a_key_that_was_given(given: Given) -> None:
    with started(given, "--insecure") as port:
        assert status_of(rows(f"http://127.0.0.1:{port}")) == 200
        assert healthy(port)
    assert not healthy(port)
    assert list((given.home / "traffic").rglob("*"))


@pytest.mark.slow
def test_with_a_certificate_it_answers_who_has_a_token_and_is_healthy_without(given: Given) -> None:
    certificate(given.given / "tls")
    token = given_token(given)
    files = ["--tls-cert", str(given.given / "tls" / "tls.crt"), "--tls-key", str(given.given / "tls" / "tls.key")]
    trusting = ssl.create_default_context(cafile=given.given / "tls" / "tls.crt")
    with started(given, *files) as port:
        url = f"https://localhost:{port}"
        assert status_of(rows(url), trusting) == 401
        assert status_of(rows(url, authorization=f"Bearer {token}"), trusting) == 200
        with pytest.raises((HTTPError, URLError, ConnectionError)):
            urlopen(f"http://localhost:{port}/livez", timeout=5)


@pytest.mark.slow
def test_where_clients_must_show_a_certificate_it_is_healthy_all_the_same(given: Given) -> None:
    certificate(given.given / "tls")
    tls = given.given / "tls"
    files = ["--tls-cert", str(tls / "tls.crt"), "--tls-key", str(tls / "tls.key"), "--client-ca", str(tls / "tls.crt")]
    with started(given, *files) as port:
        trusting = ssl.create_default_context(cafile=tls / "tls.crt")
        with pytest.raises((URLError, ssl.SSLError, ConnectionError)):
            urlopen(f"https://localhost:{port}/livez", timeout=5, context=trusting)


def given_token(given: Given) -> str:
    """Make a token elsewhere and mount its list as Kubernetes does: a link that all may read."""
    elsewhere = given.home.parent / "office"
    elsewhere.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOLDTRUE_HOME": str(elsewhere)}
    words = ["token", "new", "--name", "ci", "--json"]
    done = subprocess.run([TOOLS / "holdtrue", *words], env=environ, capture_output=True, text=True, check=True)
    (given.given / "tokens").mkdir()
    secret = given.given / "secret.json"
    secret.write_bytes((elsewhere / "keys" / "tokens.json").read_bytes())
    (given.given / "tokens" / "tokens.json").symlink_to(secret)
    told = json.loads(done.stdout)
    return next(value for value in told.values() if isinstance(value, str) and value.startswith("ht_"))


@pytest.mark.slow
def test_a_release_of_a_key_that_was_not_given_is_refused(given: Given) -> None:
    (given.given / "trusted" / "signer.pub").unlink()
    environ = {
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "HOLDTRUE_HOME": str(given.home),
        "HOLDTRUE_GIVEN": str(given.given),
    }
    words = [DEPLOY / "start", "serve", given.release, "--port", "0"]
    done = subprocess.run(words, env=environ, cwd=given.home, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 5
    assert "not trusted here" in done.stderr
