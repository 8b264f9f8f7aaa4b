"""Ports and sockets that are one endpoint's own."""

import socket
import stat
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from holdtrue.core.errors import Misuse
from holdtrue.serving.listening import Address, listeners, private_socket


@pytest.fixture
def two() -> Generator[list[socket.socket]]:
    made = listeners(Address(port=0), 2)
    yield made
    for each in made:
        each.close()


def test_the_workers_of_an_endpoint_share_its_port_and_the_system_shares_out_who_comes(
    two: list[socket.socket],
) -> None:
    where = two[0].getsockname()
    assert two[1].getsockname() == where
    clients = [socket.create_connection(where) for _ in range(64)]
    for each in two:
        each.setblocking(False)
        each.accept()[0].close()
    for client in clients:
        client.close()


def test_a_port_of_another_endpoint_of_the_same_user_is_taken(two: list[socket.socket]) -> None:
    with pytest.raises(Misuse, match="Nothing can listen at"):
        listeners(Address(port=two[0].getsockname()[1]), 2)


def test_of_many_that_want_one_port_at_once_one_gets_it() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    got: list[list[socket.socket]] = []
    refused: list[Misuse] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        try:
            got.append(listeners(Address(port=port), 3))
        except Misuse as misuse:
            refused.append(misuse)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    for each in got[0]:
        each.close()


def test_a_port_is_free_at_once_when_its_endpoint_has_ended(two: list[socket.socket]) -> None:
    port = two[0].getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    for each in two:
        each.close()  # the client is left in the middle of it
    for each in listeners(Address(port=port), 1):
        each.close()
    client.close()


def test_the_socket_of_a_killed_process_is_replaced_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "manage.sock"
    first = private_socket(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(Misuse, match="served already"):
        private_socket(path)
    first.close()  # the file stays, as after a kill
    private_socket(path).close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "manage.sock"
    path.write_text("mine")
    with pytest.raises(Misuse):
        private_socket(path)
    with pytest.raises(Misuse):
        listeners(Address(uds=str(path)), 1)
    assert path.read_text() == "mine"
