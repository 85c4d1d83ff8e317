"""A simulator inside the process, behind a real httpx client:
`httpx.Client(transport=SimulatorTransport(api))`."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from campaigns.simulator.api import JSON_HEADERS, Api, Drop, Hang, Request, parse_query


class SimulatorTransport(httpx.BaseTransport):
    """Answers an httpx client from an engine, and raises what a real network would make httpx raise.

    A dropped connection is a RemoteProtocolError, a reset one a ReadError, an answer that never comes a
    ReadTimeout: at once, as a test should not wait. `wait` is called with the real seconds of an answer that
    is merely late.
    """

    def __init__(self, api: Api, wait: Callable[[float], None] = time.sleep) -> None:
        self.api = api
        self._wait = wait

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request. Raises httpx.TransportError where the simulated connection fails."""
        answer = self.api.handle(
            Request(
                method=request.method,
                path=request.url.path,
                query=parse_query(request.url.query.decode("ascii")),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.read(),
            )
        )
        limit = request.extensions.get("timeout", {}).get("read")
        if isinstance(answer, Drop):
            if answer.reset:
                raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
            raise httpx.RemoteProtocolError(
                "Server disconnected without sending a response.", request=request
            )
        if isinstance(answer, Hang):
            if answer.seconds is not None and (limit is None or answer.seconds < limit):
                self._wait(answer.seconds)
                raise httpx.RemoteProtocolError(
                    "Server disconnected without sending a response.", request=request
                )
            raise httpx.ReadTimeout("The read operation timed out", request=request)
        if answer.delay:
            if limit is not None and answer.delay >= limit:
                raise httpx.ReadTimeout("The read operation timed out", request=request)
            self._wait(answer.delay)
        headers = list(JSON_HEADERS) if answer.body else []
        return httpx.Response(answer.status, headers=headers, content=answer.body, request=request)
