"""The HTTP server: real sockets that break, the process, its ledger's file, and webhooks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from campaigns.domain.clock import ScaledClock, SystemClock
from campaigns.retell import webhooks
from campaigns.simulator.__main__ import main
from campaigns.simulator.api import Api
from campaigns.simulator.config import SimulatorConfig
from campaigns.simulator.deliveries import Deliveries
from campaigns.simulator.engine import Engine
from campaigns.simulator.faults import Fault
from campaigns.simulator.server import running, serve

BODY = {"from_number": "+14155550100", "to_number": "+14155550123", "metadata": {"attempt_id": "a1"}}


@contextmanager
def client(url: str, timeout: float = 5) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer key_test"}
    with httpx.Client(base_url=url, headers=headers, timeout=timeout) as made:
        yield made


def until(condition: Callable[[], Any], seconds: float = 8) -> Any:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def test_a_socket_really_breaks() -> None:
    with running(SimulatorConfig(concurrency=50)) as server, client(server.url, timeout=0.5) as http:
        expected: list[tuple[Fault, type[Exception], int]] = [
            (Fault("drop", after=False), httpx.RemoteProtocolError, 0),
            (Fault("drop"), httpx.RemoteProtocolError, 1),
            (Fault("reset"), httpx.ReadError, 2),
            (Fault("hang"), httpx.ReadTimeout, 3),
            (Fault("hang", seconds=0.05), httpx.RemoteProtocolError, 4),
            (Fault("slow", seconds=5), httpx.ReadTimeout, 5),
        ]
        for fault, error, rings in expected:
            server.engine.faults.next("create-phone-call", fault)
            with pytest.raises(error):
                http.post("/v2/create-phone-call", json=BODY)
            assert server.engine.summary()["rings"] == rings
        server.engine.faults.next("create-phone-call", Fault("slow", seconds=0.05), Fault("malformed"))
        assert http.post("/v2/create-phone-call", json=BODY).status_code == 201
        broken = http.post("/v2/create-phone-call", json=BODY)
        assert broken.status_code == 201
        with pytest.raises(json.JSONDecodeError):
            broken.json()
        assert http.get("/get-concurrency").json()["current_concurrency"] == 7


def test_stopping_does_not_wait_for_a_client_that_hangs() -> None:
    errors: list[Exception] = []

    def wait_for_ever(url: str) -> None:
        with client(url, timeout=30) as http:
            try:
                http.post("/v2/create-phone-call", json=BODY)
            except httpx.TransportError as error:
                errors.append(error)

    with running(SimulatorConfig()) as server:
        server.engine.faults.next("create-phone-call", Fault("hang"))
        thread = threading.Thread(target=wait_for_ever, args=(server.url,))
        thread.start()
        until(lambda: server.engine.summary()["rings"])
        began = time.monotonic()
    thread.join(5)
    assert time.monotonic() - began < 3
    assert len(errors) == 1


def test_many_clients_at_once_lose_no_call() -> None:
    with running(SimulatorConfig(concurrency=10_000)) as server:

        def dial(worker: int) -> None:
            with client(server.url) as http:
                for number in range(25):
                    body = BODY | {"metadata": {"attempt_id": f"{worker}-{number}"}}
                    http.post("/v2/create-phone-call", json=body).raise_for_status()

        threads = [threading.Thread(target=dial, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        summary = server.engine.summary()
    assert (summary["rings"], summary["attempts"], summary["attempts_rung_twice"]) == (200, 200, 0)


def test_others_are_kept_out() -> None:
    with pytest.raises(ValueError, match=r"to bind 0\.0\.0\.0, configure an API key"):
        serve(SimulatorConfig(), host="0.0.0.0", port=0)
    with running(SimulatorConfig(api_key="key_test"), host="0.0.0.0") as server:
        port = server.url.rpartition(":")[2]
        with client(f"http://127.0.0.1:{port}") as http:
            assert http.get("/get-concurrency").status_code == 200


def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "campaigns.simulator", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line.startswith("simulator listening on http://127.0.0.1:")
    return process, line.rpartition(" ")[2]


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    assert process.stdout is not None
    process.stdout.close()
    return process.wait(10)


def test_the_process_remembers_after_it_was_killed(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    clock = ScaledClock(SystemClock().now(), 60.0, time.time()).spec()
    arguments = (
        "--ledger",
        str(ledger),
        "--concurrency",
        "3",
        "--analysis-delay",
        "1-2",
        "--outcomes",
        "human=1",
    )
    process, url = start(*arguments, CAMPAIGNS_CLOCK=clock)
    with client(url) as http:
        first = http.post("/v2/create-phone-call", json=BODY | {"idempotency_key": "k1"}).json()
        second = http.post("/v2/create-phone-call", json=BODY).json()
        http.post(f"/v2/stop-call/{second['call_id']}").raise_for_status()
        tasks = [{"to_number": f"+1415555015{n}", "metadata": {"attempt_id": f"b{n}"}} for n in range(4)]
        batch = {"from_number": BODY["from_number"], "tasks": tasks}
        http.post("/create-batch-call", json=batch).raise_for_status()
    assert stop(process, signal.SIGKILL) == -signal.SIGKILL
    with ledger.open("a") as file:
        file.write('{"kind":"call","call":{"call_id":"ca')
    process, url = start(*arguments, CAMPAIGNS_CLOCK=clock)
    with client(url) as http:
        again = http.post("/v2/create-phone-call", json=BODY | {"idempotency_key": "k1"}).json()
        assert again["call_id"] == first["call_id"]
        assert (
            http.get(f"/v2/get-call/{second['call_id']}").json()["disconnection_reason"] == "manual_stopped"
        )
        until(lambda: http.get("/_simulator/ledger").json()["rings"] == 6, seconds=20)
        rings = http.get("/_simulator/ledger", params={"rings": "1"}).json()["rings_list"]
        assert sorted(ring["attempt_id"] for ring in rings) == ["a1", "a1", "b0", "b1", "b2", "b3"]
    assert stop(process) == 0
    assert all(json.loads(line)["kind"] for line in ledger.read_text().splitlines())


def test_wrong_arguments_are_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, message in (
        (["--faults", "dorp=5%"], "unknown fault 'dorp'; known: drop"),
        (["--outcomes", "humans=5"], "unknown outcome 'humans'"),
        (["--host", "0.0.0.0"], "configure an API key"),
        (["--number", "+14155550100:pigeon"], "not a number type; known: retell-twilio"),
        (["--concurrency", "-1"], "concurrency must be a whole number"),
        (["--analysis-delay", "9-2"], "LOW-HIGH"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        assert message in capsys.readouterr().err
    damaged = tmp_path / "ledger.jsonl"
    damaged.write_text("not json\n{}\n")
    with pytest.raises(SystemExit):
        main(["--ledger", str(damaged)])
    assert "line 1 is not a record" in capsys.readouterr().err
    with running(SimulatorConfig()) as server:
        assert main(["--port", server.url.rpartition(":")[2]]) == 1
    assert "cannot listen" in capsys.readouterr().err


class Receiver:
    """Takes webhooks, and answers the first ones with an error if asked to."""

    def __init__(self, errors: int = 0) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        outer = self
        left = [errors]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                webhooks.verify(body, "key_test", self.headers[webhooks.SIGNATURE_HEADER])
                left[0] -= 1
                status = 500 if left[0] >= 0 else 204
                if status == 204:
                    data = json.loads(body)
                    outer.got.append((data["event"], data["call"]))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhook"

    def __enter__(self) -> Receiver:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_webhooks_are_signed_sent_and_retried() -> None:
    with Receiver(errors=2) as receiver:
        config = SimulatorConfig(
            webhook_url=receiver.url, webhook_backoff=(0.05, 0.05, 0.05), speed=200, analysis_delay=(40, 50)
        )
        with running(config) as server, client(server.url) as http:
            server.engine.script(BODY["to_number"], "user_hangup", "dial_busy")  # type: ignore[arg-type]
            talked, busy = (http.post("/v2/create-phone-call", json=BODY).json()["call_id"] for _ in range(2))
            # The receiver has a webhook a moment before the sender knows that it was delivered.
            until(lambda: server.engine.summary()["webhooks"].get("delivered") == 5)
            counts = server.engine.summary()["webhooks"]
    events = {
        call_id: sorted(event for event, call in receiver.got if call["call_id"] == call_id)
        for call_id in (talked, busy)
    }
    assert events == {
        talked: ["call_analyzed", "call_ended", "call_started"],
        busy: ["call_analyzed", "call_ended"],
    }
    assert (counts["delivered"], counts["retried"], counts["sent"]) == (5, 2, 7)
    for event, call in receiver.got:
        assert ("call_analysis" in call) == (event == "call_analyzed")
        assert ("disconnection_reason" in call) == (event != "call_started")


def test_webhooks_may_be_lost_doubled_late_or_given_up() -> None:
    seconds = [1_780_000_000.0]
    clock = ScaledClock(SystemClock().now(), 1.0, seconds[0], lambda: seconds[0])

    def events(faults: str, status: int = 200) -> tuple[list[str], dict[str, int]]:
        config = SimulatorConfig(
            webhook_url="http://receiver.invalid/", faults=faults, webhook_backoff=(0.0,) * 3
        )
        engine = Engine(config, clock, lambda: seconds[0])
        sent: list[str] = []

        def post(url: str, body: bytes, headers: dict[str, str]) -> int:
            webhooks.verify(body, "key_simulator", headers[webhooks.SIGNATURE_HEADER])
            sent.append(json.loads(body)["event"])
            return status

        deliveries = Deliveries(Api(engine), post)
        engine.script("+14155550123", "dial_busy")
        engine.create_phone_call(BODY)
        deliveries.collect()
        assert sent == []
        seconds[0] += 100
        deliveries.collect()
        while deliveries.waiting:
            deliveries.send(deliveries.waiting.pop(0))
        return sent, dict(engine.ledger.webhooks)

    assert events("") == (["call_ended", "call_analyzed"], {"sent": 2, "delivered": 2})
    assert events("webhook_drop=100%") == ([], {"dropped": 2})
    sent, counts = events("webhook_duplicate=100%,webhook_reorder=100%")
    assert sorted(sent) == ["call_analyzed"] * 2 + ["call_ended"] * 2
    assert (counts["duplicated"], counts["reordered"]) == (2, 2)
    sent, counts = events("", status=500)
    assert counts == {"sent": 8, "retried": 6, "given_up": 2}


def test_a_stopped_call_sends_its_end_once() -> None:
    seconds = [1_780_000_000.0]
    clock = ScaledClock(SystemClock().now(), 1.0, seconds[0], lambda: seconds[0])
    engine = Engine(SimulatorConfig(webhook_url="http://receiver.invalid/"), clock, lambda: seconds[0])
    engine.script("+14155550123", "user_hangup")
    call_id = engine.create_phone_call(BODY)["call_id"]
    engine.stop_call(call_id)
    seconds[0] += 10_000
    events = engine.take_events()
    assert [event["event"] for event in events] == ["call_ended", "call_analyzed"]
    assert {event["call"]["disconnection_reason"] for event in events} == {"manual_stopped"}
    assert engine.take_events() == []
