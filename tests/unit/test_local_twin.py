import pytest

from local import servers
from local.terminal import LocalError
from local.twin import Twin


def test_the_addresses_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TWIN_PORT", "4999")
    monkeypatch.setenv("TWIN_CACHE_HOST", "127.0.0.9")

    twin = Twin.from_environment()

    assert (twin.endpoint, twin.cache_host, twin.folder.name) == ("http://127.0.0.1:4999", "127.0.0.9", "4999")


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(monkeypatch, port):
    monkeypatch.setenv("TWIN_PORT", port)

    with pytest.raises(LocalError, match=f"TWIN_PORT = {port}"):
        Twin.from_environment()


def test_nothing_of_the_users_account_reaches_the_twin(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "theirs")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "theirs")
    monkeypatch.setenv("NO_PROXY", "example.org")

    environment = Twin(port=4999).environment()

    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4999"
    assert "AWS_PROFILE" not in environment
    assert "theirs" not in environment.values()
    assert environment["NO_PROXY"] == "127.0.0.1,example.org"


def test_a_taken_address_is_refused_in_one_sentence(tmp_path, unused_tcp_listener):
    port = unused_tcp_listener.getsockname()[1]

    with pytest.raises(LocalError, match=f"127.0.0.1:{port} is taken by another program: .* TWIN_PORT"):
        servers.start_emulator(tmp_path, port, "127.0.0.1", {})


def test_a_twin_that_does_not_run_cannot_be_used(unused_tcp_listener):
    twin = Twin(port=unused_tcp_listener.getsockname()[1])

    with pytest.raises(LocalError, match="make twin-start"):
        twin.use()


@pytest.fixture
def unused_tcp_listener():
    """A program that is no twin, listening on a port of its own."""
    with servers.socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener
