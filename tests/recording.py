"""A plain HTTP server that keeps what it was sent and answers what it was told: Retell, as far as bytes go."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Sent:
    """One request, as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def parts(self) -> list[tuple[str, str | None, bytes]]:
        """The parts of a form: name, file name, content."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        form = BytesParser(policy=HTTP).parsebytes(head + self.body)
        return [
            (
                str(part.get_param("name", header="content-disposition")),
                part.get_filename(),
                part.get_payload(decode=True),  # type: ignore[misc]
            )
            for part in form.iter_parts()  # type: ignore[attr-defined]
        ]


#: Status, JSON (None for no body), further headers.
Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass
class Recorder:
    """`answer` may be replaced; None drops the connection after the request was read."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    answer: Callable[[Sent], Answer | None] = lambda sent: (200, {})

    def by_path(self, answers: dict[str, Any]) -> None:
        """Answer each path with its JSON, every other one with 422 as Retell does."""
        unknown = (422, {"status": "error", "message": "Cannot find requested asset under given api key."})
        self.answer = lambda sent: (200, answers[sent.path]) if sent.path in answers else unknown


@contextmanager
def recording() -> Iterator[Recorder]:
    """The server on a thread of this process."""
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            sent = Sent(self.command, self.path, headers, body)
            recorder.sent.append(sent)
            found = recorder.answer(sent)
            if found is None:
                self.close_connection = True
                return
            status, value, more = (*found, {})[:3]
            payload = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            for name, text in more.items():
                self.send_header(name, text)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        recorder.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            thread.join()
