"""The deadline holds on real sockets: below httpx, where its own time-outs begin anew with every byte."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from campaigns.retell import CreatePhoneCall, NeverSent, Placed, RetellClient, RetellUnavailable, Unknown
from campaigns.retell.transport import Deadline, bounded_transport

KEY = "key_0123456789abcdef"
DIAL = CreatePhoneCall(from_number="+14155550100", to_number="+14155550101")
BODY = b'{"call_id":"call_1"}'
OK = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def receive(connection: socket.socket) -> bytes:
    """One whole request with a JSON body; httpx sends head and body apart."""
    got = b""
    while not got.endswith(b"}"):
        piece = connection.recv(65536)
        if not piece:
            break
        got += piece
    return got


class Listener:
    """A server on this machine that handles each connection with `serve`."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.received: list[bytes] = []
        self.serve = serve
        self.threads: list[threading.Thread] = []
        self.acceptor = threading.Thread(target=self.accept, daemon=True)
        self.acceptor.start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                thread = threading.Thread(target=self.handle, args=(connection,), daemon=True)
                self.threads.append(thread)
                thread.start()

    def handle(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.serve(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in [self.acceptor, *self.threads]:
            thread.join(5)


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[Listener]:
    listener = Listener(serve)
    try:
        yield listener
    finally:
        listener.close()


def drip(text: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for letter in text:
            connection.sendall(bytes([letter]))
            time.sleep(0.05)

    return serve


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 201 Created\r\nX-Slow: " + b"x" * 10_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        b"HTTP/1.1 201 Created\r\nContent-Length: 10000\r\n\r\n" + b" " * 10_000,
    ],
    ids=["headers", "continue", "body"],
)
def test_a_dripping_server_is_bounded(text: bytes) -> None:
    with listening(drip(text)) as server, RetellClient(KEY, server.url, dial_timeout=0.4) as client:
        start = time.monotonic()
        assert isinstance(client.create_phone_call(DIAL), Unknown)
        assert time.monotonic() - start < 2.0


def test_a_dripping_read_is_bounded() -> None:
    text = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000
    with listening(drip(text)) as server, RetellClient(KEY, server.url, read_timeout=0.5) as client:
        start = time.monotonic()
        with pytest.raises(RetellUnavailable):
            client.get_concurrency()
        assert time.monotonic() - start < 3.0


def test_a_server_that_does_not_read_is_bounded() -> None:
    def serve(connection: socket.socket) -> None:
        time.sleep(3.5)

    big = CreatePhoneCall(from_number="+1", to_number="+2", metadata={"x": "y" * 10_000_000})
    with listening(serve) as server, RetellClient(KEY, server.url, dial_timeout=1.5) as client:
        start = time.monotonic()
        assert isinstance(client.create_phone_call(big), Unknown)
        assert time.monotonic() - start < 3.4


def test_nothing_is_sent_after_the_deadline() -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(1)
        with contextlib.suppress(TimeoutError):
            seen.append(connection.recv(65536))

    deadline = Deadline()
    with (
        listening(serve) as server,
        httpx.Client(
            transport=bounded_transport(httpx.URL(server.url), 2, time.monotonic, deadline)
        ) as client,
        deadline.until(time.monotonic() - 1, time.monotonic() + 5),
        pytest.raises(httpx.ConnectTimeout),
    ):
        client.post(server.url, content=b"ring")
    assert b"".join(seen) == b""


def test_a_suspended_sender_does_not_wake_up_and_dial() -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connection.settimeout(1)
        with contextlib.suppress(TimeoutError):
            seen.append(connection.recv(65536))

    # The clock jumps after the dial has begun, as it does for a process that was stopped and continued.
    moments = iter([100.0])
    with (
        listening(serve) as server,
        RetellClient(KEY, server.url, now=lambda: next(moments, 500.0)) as client,
    ):
        assert isinstance(client.create_phone_call(DIAL), NeverSent)
    assert b"".join(seen) == b""


def test_a_server_that_hangs_up_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    connections: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        connections.append(receive(connection))

    with listening(serve) as server, RetellClient(KEY, server.url) as client:
        assert isinstance(client.create_phone_call(DIAL), Unknown)
    assert len(connections) == 1
    assert KEY not in caplog.text


def test_a_kept_connection_is_used_again_and_its_loss_is_not_repeated() -> None:
    rounds: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        for _ in range(2):
            rounds.append(receive(connection))
            connection.sendall(OK)
        rounds.append(receive(connection))

    with listening(serve) as server, RetellClient(KEY, server.url) as client:
        assert isinstance(client.create_phone_call(DIAL), Placed)
        assert isinstance(client.create_phone_call(DIAL), Placed)
        assert isinstance(client.create_phone_call(DIAL), Unknown)
    assert len(rounds) == 3


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    with RetellClient(KEY, url) as client:
        assert isinstance(client.create_phone_call(DIAL), NeverSent)


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("REQUEST_METHOD", raising=False)

    def serve(connection: socket.socket) -> None:
        receive(connection)
        connection.sendall(OK)

    with listening(serve) as server, RetellClient(KEY, server.url) as client:
        assert isinstance(client.create_phone_call(DIAL), Placed), "loopback never goes through a proxy"
    with RetellClient(KEY, "http://retell.test") as client:
        verdict = client.create_phone_call(DIAL)
    assert isinstance(verdict, NeverSent), "the proxy does not listen, so nothing left"
