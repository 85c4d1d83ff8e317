"""The grammar of faults, and the dice."""

from __future__ import annotations

import pytest

from campaigns.simulator.faults import ENDPOINTS, Fault, Faults, parse_faults


def only(text: str, endpoint: str = "create-phone-call") -> tuple[float, Fault]:
    ((probability, fault),) = parse_faults(text).requests[endpoint]
    return probability, fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("drop_after=5%", (0.05, Fault("drop", after=True))),
        ("drop_before=0.5", (0.5, Fault("drop", after=False))),
        ("reset=1", (1.0, Fault("reset"))),
        ("500_after=3%", (0.03, Fault("status", after=True, status=500))),
        ("500=3%", (0.03, Fault("status", after=False, status=500))),
        ("429=5%", (0.05, Fault("status", after=False, status=429))),
        ("status_402=100%", (1.0, Fault("status", after=False, status=402))),
        ("hang=2%", (0.02, Fault("hang", seconds=None))),
        ("hang_before=2%:200ms", (0.02, Fault("hang", after=False, seconds=0.2))),
        ("slow=2%", (0.02, Fault("slow", seconds=1.0))),
        ("slow=2%:1.5s", (0.02, Fault("slow", seconds=1.5))),
        ("malformed=1%", (0.01, Fault("malformed"))),
    ],
)
def test_reads_a_fault(text: str, expected: tuple[float, Fault]) -> None:
    assert only(text) == expected


def test_reads_a_whole_specification() -> None:
    spec = parse_faults("drop_after=5%, list_500=10%,batch_hang=1,lag=3s,analysis_never=2%,never_ends=1%,")
    assert set(spec.requests) == {"create-phone-call", "list-calls", "create-batch-call"}
    assert spec.world == {"analysis_never": 0.02, "never_ends": 0.01}
    assert spec.lag == 3.0
    assert parse_faults("").requests == {}
    assert set(parse_faults("all_500=100%").requests) == set(ENDPOINTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropp=5%", "unknown fault 'dropp'; known: drop, reset, hang"),
        ("status_200=5%", "unknown fault"),
        ("drop", "has no value; write drop=5%"),
        ("drop=often", "'often' is not a probability"),
        ("drop=120%", "between 0 and 100%"),
        ("drop=nan", "between 0 and 100%"),
        ("drop=5%:3s", "takes no argument"),
        ("500=5%:3s", "takes no argument"),
        ("never_ends=5%:3s", "takes no argument"),
        ("slow=5%:soon", "'soon' is not a duration"),
        ("slow_before=5%", "always after"),
        ("lag=long", "'long' is not a duration"),
        ("drop=60%,hang=60%", "faults of create-phone-call add up to more than 100%"),
        ("drop=60%,all_hang=60%", "faults of create-phone-call add up to more than 100%"),
    ],
)
def test_refuses_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_faults(text)


def test_draws_as_often_as_asked_and_reproducibly() -> None:
    spec = parse_faults("drop_after=10%,500_before=20%")
    drawn = [Faults(spec, 3).draw("create-phone-call")]
    faults = Faults(spec, 3)
    drawn = [faults.draw("create-phone-call") for _ in range(5000)]
    again = Faults(spec, 3)
    mixed = []
    for _ in range(5000):
        again.draw("list-calls")
        mixed.append(again.draw("create-phone-call"))
    assert drawn == mixed
    assert sum(fault == Fault("drop") for fault in drawn) / 5000 == pytest.approx(0.1, abs=0.02)
    assert sum(fault is None for fault in drawn) / 5000 == pytest.approx(0.7, abs=0.02)


def test_scripted_faults_come_first_and_once() -> None:
    faults = Faults(parse_faults("500=100%"), 0)
    faults.next("create-phone-call", None, Fault("drop"))
    assert faults.draw("create-phone-call") is None
    assert faults.draw("create-phone-call") == Fault("drop")
    assert faults.draw("create-phone-call") == Fault("status", after=False, status=500)
    with pytest.raises(ValueError, match="unknown endpoint 'create-call'; known: create-phone-call"):
        faults.next("create-call", Fault("drop"))
