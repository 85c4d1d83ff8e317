"""`campaigns run` and `campaigns console` as real processes, with webhooks that are lost, doubled and late."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.rig import Rig, Seen, assert_promises_kept, closing, free_port, rig, write_leads

LEADS = 20


@contextlib.contextmanager
def console(subject: Rig, port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "campaigns.cli.app", "console", "--port", str(port)],
        env=subject.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert (
            process.stdout.readline() == f"webhooks are received at http://127.0.0.1:{port}/webhooks/retell\n"
        )
        yield process
    finally:
        process.kill()
        process.communicate()


def counts(port: int) -> dict[str, int]:
    answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10).json()
    assert answer["status"] == "ok"
    return dict(answer["webhooks"])


def webhooks_that_misbehave(folder: Path) -> Seen:
    port = free_port()
    faults = "webhook_drop=15%,webhook_duplicate=30%,webhook_reorder=20%,drop_after=5%,lag=3s"
    simulator = (
        "--mean-call", "1.5", "--concurrency", "6", "--seed", "5", "--ignore-idempotency", "--faults", faults,
        "--webhook-url", f"http://127.0.0.1:{port}/webhooks/retell",
    )  # fmt: skip
    with rig(folder, simulator, {"CAMPAIGNS_DIAL_TIMEOUT": "2"}) as subject:
        write_leads(subject.leads, LEADS)
        with console(subject, port) as first:
            subject.start("--concurrency", "6")
            deadline = time.monotonic() + 120
            while counts(port).get("changed", 0) < 6:
                assert time.monotonic() < deadline
                assert subject.wait(0.2) is None
            first.send_signal(signal.SIGKILL)
        # Without a receiver the poller goes on.
        with console(subject, port) as second:
            seen = closing(subject)
            seen.facts["heard"] = counts(port)
            second.send_signal(signal.SIGTERM)
            seen.facts["console"] = second.wait(15)
        return seen


@pytest.mark.timeout(400)
@pytest.mark.scene(of=webhooks_that_misbehave)
def test_a_campaign_with_webhooks_that_misbehave_and_a_console_that_is_killed(seen: Seen) -> None:
    assert_promises_kept(seen, LEADS, 6)
    assert seen.facts["code"] == seen.facts["console"] == 0
    assert seen.facts["heard"].keys() <= {"changed", "known", "ignored"}
    ledger = seen.ledger
    print(f"webhooks {ledger['webhooks']}, requests per call {sum(ledger['requests'].values()) / LEADS:.2f}")


def test_a_console_is_not_opened_to_others_by_mistake(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CAMPAIGNS_", "RETELL_"))}
    environment["CAMPAIGNS_HOME"] = str(tmp_path)

    def refusal(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "campaigns.cli.app", "console", "--port", "0", *arguments],
            env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.stderr.count("\n") == 1
        return done.returncode, done.stderr

    code, words = refusal("--host", "0.0.0.0")
    assert code == 2
    assert "others can reach 0.0.0.0" in words
    assert "--webhooks-only" in words
    code, words = refusal("--host", "0.0.0.0", "--webhooks-only")
    assert code == 1
    assert "there is no API key" in words
    environment["RETELL_API_KEY"] = "key_test"
    code, words = refusal("--host", "203.0.113.7", "--webhooks-only")
    assert code == 1
    assert "cannot listen on 203.0.113.7" in words
