"""The packaged time-zone data wins over the system's, in every process that the program starts."""

from __future__ import annotations

import subprocess
import sys
import zoneinfo
from datetime import date
from pathlib import Path

import pytest

import campaigns.cli.doctor
from campaigns.cli.doctor import _Examination
from campaigns.compliance import tzdata_date, tzdata_version
from campaigns.settings import load_settings

#: What each kind of process imports first: the command line, the worker, the clock tick, the simulator, the console.
ENTRIES = [
    "campaigns.cli.app",
    "workers.app",
    "workers.beat",
    "campaigns.simulator.__main__",
    "campaigns.store",
]


@pytest.mark.parametrize("module", ENTRIES)
def test_no_process_reads_the_systems_files(module: str, tmp_path: Path) -> None:
    # A zone read before the program was imported: what the system said must be forgotten.
    code = f"""
import zoneinfo
before = zoneinfo.ZoneInfo("America/Vancouver")
import {module}
assert zoneinfo.TZPATH == (), zoneinfo.TZPATH
assert zoneinfo.ZoneInfo("America/Vancouver") is not before
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr


def test_the_data_says_how_old_it_may_be() -> None:
    assert tzdata_version()
    assert date(int(tzdata_version().split(".")[0]) - 1, 1, 1) < tzdata_date() <= date.today()  # noqa: DTZ011


def test_the_doctor_warns_of_old_data_and_of_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    check = _Examination(load_settings())._time_data
    fresh = check()
    assert tzdata_version() in fresh.detail
    monkeypatch.setattr(campaigns.cli.doctor, "tzdata_date", lambda: date(2020, 1, 1))
    old = check()
    assert (old.result, "older than 6 months" in old.detail) == ("warning", True)
    assert "pip install --upgrade tzdata" in old.remedy
    monkeypatch.setattr(zoneinfo, "TZPATH", ("/usr/share/zoneinfo",))
    assert check().result == "failure"
