"""gRPC is encrypted by the certificate that HTTP has, and asks its clients for theirs when HTTP does."""

import sys
from pathlib import Path

import grpc
import pytest
from tests.cli.driver import holdtrue
from tests.serving.certificates import Authority, Pair
from tests.serving.endpoint import copied, rows
from tests.serving.grpc_driver import Around, Client, around, asked

from holdtrue.core.errors import Misuse
from holdtrue.pipeline.serve import Serving
from holdtrue.serving.plan import Plan
from holdtrue.serving.supervisor import Address

TABLE = rows(2, target=False)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("keys"), "strangers")


def tls(server: Pair, *, clients: Authority | None = None) -> dict[str, str]:
    """Say by which files an endpoint is encrypted, and whose clients it hears."""
    files = {"certificate": str(server.certificate), "private_key": str(server.key)}
    return files | ({"client_ca": str(clients.pair.certificate)} if clients else {})


def trusting(authority: Authority, shown: Pair | None = None) -> grpc.ChannelCredentials:
    root = authority.pair.certificate.read_bytes()
    if shown is None:
        return grpc.ssl_channel_credentials(root)
    return grpc.ssl_channel_credentials(root, shown.key.read_bytes(), shown.certificate.read_bytes())


def code(both: Around, credentials: "grpc.ChannelCredentials | None") -> grpc.StatusCode:
    with Client(both.target, credentials=credentials) as client:
        return client.infer(asked(TABLE), timeout_s=30).code


def test_a_client_that_trusts_the_authority_is_answered(
    plan: Plan, ours: Authority, strangers: Authority, tmp_path: Path
) -> None:
    with around(plan, tmp_path, tls=tls(ours.vouch("server"))) as both:
        assert code(both, trusting(ours)) is grpc.StatusCode.OK
        assert code(both, trusting(strangers)) is grpc.StatusCode.UNAVAILABLE
        assert code(both, None) is grpc.StatusCode.UNAVAILABLE


def test_a_client_without_the_certificate_asked_for_is_not_heard(
    plan: Plan, ours: Authority, strangers: Authority, tmp_path: Path
) -> None:
    with around(plan, tmp_path, tls=tls(ours.vouch("server"), clients=ours)) as both:
        assert code(both, trusting(ours, ours.vouch("client"))) is grpc.StatusCode.OK
        assert code(both, trusting(ours, strangers.vouch("client"))) is grpc.StatusCode.UNAVAILABLE
        assert code(both, trusting(ours)) is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_that_is_none_is_told_before_anything_is_served(
    plan: Plan, ours: Authority, tmp_path: Path
) -> None:
    mixed = Pair(certificate=ours.vouch("one").certificate, key=ours.vouch("two").key)
    with pytest.raises(Misuse, match="gRPC cannot listen"), around(plan, tmp_path, tls=tls(mixed)):
        pass


def test_grpc_beside_a_unix_socket_is_seen_by_others_all_the_same() -> None:
    with pytest.raises(Misuse, match="can be reached from other machines"):
        Serving(address=Address(host="0.0.0.0", uds="/tmp/x.sock", grpc_port=0))
    assert Address(host="0.0.0.0", uds="/tmp/x.sock").loopback


@pytest.mark.parametrize("package", ["hpack", "google.protobuf"])
def test_without_its_packages_it_says_which_to_install(
    trips_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = holdtrue("serve", "--port", "0", "--grpc-port", "0", folder=copied(trips_made, tmp_path / "trips"))
    assert done.code == 2
    assert "pip install 'holdtrue[grpc]'" in done.err
