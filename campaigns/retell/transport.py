"""The wire below the client: httpx's transport with a deadline on every single read and write."""

from __future__ import annotations

import ipaddress
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore  # httpx's own engine: the one place where single reads and writes can be bounded
import httpx

from .errors import RetellError


class Deadline(threading.local):
    """Until when the current thread's request may still write, and until when it may still read."""

    write_by = float("inf")
    read_by = float("inf")
    wrote = False

    @contextmanager
    def until(self, write_by: float, read_by: float) -> Iterator[None]:
        """Bound the requests made inside; both are moments of the monotonic clock, in seconds."""
        self.write_by, self.read_by, self.wrote = write_by, read_by, False
        try:
            yield
        finally:
            self.write_by = self.read_by = float("inf")


class _BoundedStream(httpcore.NetworkStream):
    """A socket whose single reads and writes end at the deadline.

    httpx's own time-outs begin anew with every byte, so a server that drips headers could hold a dial for
    ever; and a sender that was suspended must not wake up and send.
    """

    def __init__(self, inner: httpcore.NetworkStream, now: Callable[[], float], deadline: Deadline) -> None:
        self._inner, self._now, self._deadline = inner, now, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._deadline.read_by - self._now()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer took too long")
        return self._inner.read(max_bytes, left if timeout is None else min(timeout, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In slices, since one write to a slow reader is many sends, each with a time-out of its own.
        for start in range(0, len(buffer), 16384):
            left = self._deadline.write_by - self._now()
            if left <= 0:
                late = httpcore.WriteTimeout if self._deadline.wrote else httpcore.ConnectTimeout
                raise late("the request could not be sent in time")
            self._deadline.wrote = True
            self._inner.write(buffer[start : start + 16384], left if timeout is None else min(timeout, left))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> Any:
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _BoundedStream(inner, self._now, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _BoundedBackend(httpcore.NetworkBackend):
    def __init__(self, now: Callable[[], float], deadline: Deadline) -> None:
        self._inner, self._now, self._deadline = httpcore.SyncBackend(), now, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        inner = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _BoundedStream(inner, self._now, self._deadline)


def bounded_transport(
    base: httpx.URL, max_connections: int, now: Callable[[], float], deadline: Deadline
) -> httpx.BaseTransport:
    """httpx's transport to `base`, without repetitions, whose reads and writes keep to `deadline`.

    Raises RetellError where the environment names a proxy that cannot be used.
    """
    local = base.host == "localhost" or _is_loopback(base.host)
    # The environment's proxy is honoured for the real API (some networks have no other way out), never for a
    # server on this machine, which no proxy can reach.
    proxy = None
    if not local and not urllib.request.proxy_bypass(base.host):
        proxies = urllib.request.getproxies()
        proxy = proxies.get(base.scheme) or proxies.get("all")
        if proxy and "://" not in proxy:
            proxy = f"http://{proxy}"
    limits = httpx.Limits(
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        # Below the 5 s after which common servers hang up: a dial on a connection that is just being closed
        # would be an unknown one.
        keepalive_expiry=4.0,
    )
    try:
        transport = httpx.HTTPTransport(limits=limits, proxy=proxy, retries=0)
    except (ImportError, ValueError, httpx.InvalidURL):
        raise RetellError("the proxy of the environment is not usable", "correct HTTPS_PROXY") from None
    pool = transport._pool
    if not hasattr(pool, "_network_backend"):  # pragma: no cover
        raise RuntimeError("this httpcore cannot be given a bounded network backend")
    pool._network_backend = _BoundedBackend(now, deadline)
    return transport


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
