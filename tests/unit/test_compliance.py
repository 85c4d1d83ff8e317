"""The book of rules, profiles, and the gate that is asked before every dial."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.compliance import PROFILES, RulesError, may_call, read_book, remedy_for, rules_for, the_book
from campaigns.domain.caps import Cap
from campaigns.domain.clock import to_ms
from campaigns.domain.entities import Allowed, Blackout, Callee, Refused
from campaigns.domain.errors import UsageError
from campaigns.domain.windows import Schedule

#: A Tuesday, 10:00 in New York; and that night.
OPEN = datetime(2026, 12, 1, 15, 0, tzinfo=UTC)
NIGHT = datetime(2026, 12, 1, 6, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EAST, CENTRAL, WEST = "America/New_York", "America/Chicago", "America/Los_Angeles"
NEW_YORKER = Callee((EAST,), ("US-NY",))
SALES = rules_for("us-sales", ())


def local(text: str, zone: str = EAST) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def ask(
    callee: Callee = NEW_YORKER,
    now: datetime = OPEN,
    profile: str = "us-sales",
    windows: tuple[str, ...] = (),
    dialed: tuple[datetime, ...] = (),
    suppressed: bool | None = False,
) -> Allowed | Refused:
    return may_call(callee, now, rules_for(profile, windows), [to_ms(at) for at in dialed], suppressed)


def refused(answer: Allowed | Refused) -> Refused:
    assert isinstance(answer, Refused), answer
    return answer


# -- the data --------------------------------------------------------------------------------------------------

#: The table of the survey, by hand once more: place, weekdays, Saturday, Sunday, holidays, cap, confidence.
TABLE = """
AL 8-20 8-20 none none - L|CT 9-20 9-20 9-20 - - H|FL 8-20 8-20 8-20 - 3/24 H|IL 9-21 9-21 9-21 - - M
KY 10-21 10-21 10-21 - - M|LA 8-20 8-20 none none - H|ME 9-17 none none none 1/8 M|MD 8-20 8-20 8-20 - 3/24 H
MA 8-20 8-20 8-20 - - H|MI 9-21 9-21 9-21 - - L|MN 9-21 9-21 9-21 - - L|MS 8-20 8-20 none - - H
NE 8-21 8-21 13-21 13-21 - L|NV 9-20 9-20 9-20 - - L|NM 9-21 9-21 9-21 - - M|OK 9-20 9-20 9-20 - 3/24 H
OR 8-20 8-20 8-20 - 3/24 H|PA 9-19 9-19 none none - L|RI 9-18 10-17 none none - H|SC 8-19 8-19 8-19 - - L
SD 9-21 none none none - H|TX 9-21 9-21 12-21 - - H|UT 8-21 8-21 none none - H|WA 8-20 8-20 8-20 - - H
WY 8-20 8-20 8-20 - - M
"""


def hours(text: str) -> tuple[tuple[int, int], ...]:
    if text == "none":
        return ()
    start, end = text.split("-")
    return ((int(start) * 60, int(end) * 60),)


def test_the_states_are_those_of_the_survey() -> None:
    rows = [line.split() for line in TABLE.replace("|", "\n").strip().splitlines()]
    book = the_book()
    assert {f"US-{row[0]}" for row in rows} == {code for code in book.rules if code.startswith("US-")}
    for place, weekdays, saturday, sunday, holidays, cap, confidence in rows:
        rule = book.rules[f"US-{place}"]
        assert (rule.weekdays, rule.saturday, rule.sunday) == tuple(map(hours, (weekdays, saturday, sunday)))
        assert rule.holidays == (None if holidays == "-" else hours(holidays)), place
        assert rule.caps == (() if cap == "-" else (Cap(*map(int, cap.split("/"))),)), place
        assert rule.confidence == confidence
        assert rule.source
        assert rule.as_of == date(2026, 11, 20)


def test_the_countries_are_there_and_an_unknown_one_is_not() -> None:
    book = the_book()
    assert book.countries == ["AU", "CA", "ES", "FR", "GB", "IT", "US"]
    assert book.of("DE", "sales") == ()
    assert [rule.jurisdiction for rule in book.of("US-FL", "sales")] == ["US", "US-FL"]
    assert [rule.jurisdiction for rule in book.of("US-FL", "informational")] == ["US"]
    assert [rule.jurisdiction for rule in book.of("US-NY", "sales")] == ["US"]
    assert len(book.of("US", "sales")) == 26, "somewhere in the US: the rules of every state"
    assert book.rules["FR"].weekdays == ((600, 780), (840, 1200))
    assert book.rules["FR"].caps == (Cap(4, 720),)


GOOD = """
country = "US"
name = "United States"
holidays = "US"
[[rule]]
jurisdiction = "US"
name = "federal"
kinds = ["sales"]
weekdays = "08:00-21:00"
saturday = "08:00-21:00"
sunday = "none"
holidays = "none"
more_holidays = ["12-24", "2026-03-03", "easter-2"]
caps = [{ calls = 3, hours = 24 }]
source = "a law"
as_of = 2026-11-20
confidence = "H"
"""


def read(text: str) -> None:
    read_book([("us.toml", text.encode())])


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("country", "country =", "is no TOML"),
        ('country = "US"', "", "country is missing"),
        ('country = "US"', 'country = "USA"', "'USA' is no country"),
        ('holidays = "US"\n[', "holidays = 7\n[", "holidays is 7"),
        ('jurisdiction = "US"', 'jurisdiction = "CA-ON"', "no part of US"),
        ('jurisdiction = "US"', 'jurisdiction = "US-FL"', "US itself has no rule"),
        ('kinds = ["sales"]', "kinds = []", "kinds are"),
        ('kinds = ["sales"]', 'kinds = ["spam"]', "kinds are"),
        ('"08:00-21:00"\nsaturday', '"8-21"\nsaturday', "weekdays is '8-21'"),
        ('"08:00-21:00"\nsaturday', '"21:00-08:00"\nsaturday', "times in order"),
        ('"08:00-21:00"\nsaturday', '"08:00-10:00, 09:00-11:00"\nsaturday', "times in order"),
        ('"08:00-21:00"\nsaturday', '"08:61-21:00"\nsaturday', "times in order"),
        ("sunday", "sundays", "sunday is missing"),
        ('source = "a law"', 'source = " "', "no source"),
        ('source = "a law"', "source = 7", "source is no text"),
        ("as_of = 2026-11-20", 'as_of = "2026-11-20"', "as_of is no date"),
        ('confidence = "H"', 'confidence = "sure"', "the confidence is 'sure'"),
        ("calls = 3", "calls = 0", "a cap is"),
        ("hours = 24", "hours = 9000", "a cap is"),
        ("12-24", "13-45", "is no holiday"),
        ('holidays = "none"\nmore', "more", "more_holidays without"),
        ("caps", "cups", "cups is unknown"),
    ],
)
def test_a_bad_file_is_one_clear_error(before: str, after: str, says: str) -> None:
    assert before in GOOD
    read(GOOD)
    with pytest.raises(RulesError, match=r"calling rules, us\.toml") as caught:
        read(GOOD.replace(before, after, 1))
    assert says in f"{caught.value} {caught.value.remedy}"
    assert caught.value.remedy


def test_the_package_of_holidays_knows_every_place_that_the_rules_ask_it_about() -> None:
    asked = [rule for rule in the_book().rules.values() if rule.calendar]
    assert len(asked) > 5
    for rule in asked:
        assert len(rule._holidays_of(2027)) > 5, rule.jurisdiction


def test_a_place_whose_holidays_nobody_knows_is_never_taken_for_one_without() -> None:
    [rule] = read_book([("us.toml", GOOD.replace('"US"\n[', '"Narnia"\n[').encode())]).rules.values()
    with pytest.raises(RulesError, match="Narnia"):
        rule.hours(date(2027, 1, 4))


def test_two_rules_for_one_place_and_no_rules_at_all_are_errors() -> None:
    with pytest.raises(RulesError, match="two rules"):
        read(GOOD + GOOD[GOOD.index("[[rule]]") :])
    with pytest.raises(RulesError, match="no calling rules"):
        read_book([])


def test_the_version_changes_with_any_byte() -> None:
    versions = {read_book([(name, text.encode())]).version
                for name, text in (("us.toml", GOOD), ("us.toml", GOOD + "# note\n"), ("u.toml", GOOD))}  # fmt: skip
    assert len(versions) == 3
    assert read_book([("us.toml", GOOD.encode())]).version in versions


def test_holidays_are_those_of_the_package_and_of_the_hand_list() -> None:
    rule = read_book([("us.toml", GOOD.encode())]).rules["US"]
    named = {day: rule.holiday(day) is not None for day in (
        date(2026, 7, 4), date(2026, 12, 24), date(2027, 12, 24), date(2026, 3, 3), date(2026, 4, 3), date(2027, 3, 26),
    )}  # fmt: skip
    assert all(named.values()), named
    assert rule.holiday(date(2027, 3, 3)) is None
    assert rule.hours(date(2026, 12, 24)) == ()
    assert rule.hours(date(2026, 12, 23)) == ((480, 1260),)


def test_easter_is_that_of_the_church() -> None:
    rule = the_book().rules["US-LA"]  # Mardi Gras, Good Friday and Easter are in its hand list
    for easter in (
        date(2025, 4, 20),
        date(2026, 4, 5),
        date(2027, 3, 28),
        date(2028, 4, 16),
        date(2030, 4, 21),
    ):
        assert rule.holiday(easter)
        assert rule.holiday(easter - timedelta(days=47))


# -- profiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["us-sales", "us-informational"])
def test_the_profiles_keep_federal_hours_and_three_attempts_a_day(profile: str) -> None:
    rules = rules_for(profile, ())
    assert rules.terms(NEW_YORKER).caps == (Cap(3, 24),)
    for hour in range(24):
        answer = ask(now=local(f"2026-12-01T{hour:02}:30"), profile=profile)
        assert isinstance(answer, Allowed) == (8 <= hour < 21), hour


def test_the_rules_of_states_are_for_sales_only() -> None:
    connecticut = Callee((EAST,), ("US-CT",))
    at = local("2026-12-01T08:30")
    assert refused(ask(connecticut, at)).next_at == local("2026-12-01T09:00")
    assert isinstance(ask(connecticut, at, "us-informational"), Allowed)


def test_profile_none_lifts_windows_and_caps_and_nothing_else() -> None:
    nobody = Callee((), ())
    assert isinstance(ask(nobody, NIGHT, "none", dialed=(NIGHT,) * 9), Allowed)
    assert isinstance(ask(Callee((), ("DE",)), NIGHT, "none"), Allowed)
    assert refused(ask(nobody, NIGHT, "none", suppressed=True)).code == "suppressed"
    assert refused(ask(NEW_YORKER, NIGHT, "none", ("daily 03:00-04:00",))).code == "window_closed"
    assert refused(ask(nobody, NIGHT, "none", ("daily 03:00-04:00",))).code == "unknown_timezone"


@pytest.mark.parametrize(
    "windows", [("daily 22:00-23:00",), ("daily 21:30-08:00",), ("Mon 5-6", "Tue 23-24")]
)
def test_a_window_that_never_opens_within_the_profile_is_refused(windows: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="never opens within profile us-sales") as caught:
        rules_for("us-sales", windows)
    assert "--profile" in caught.value.remedy


def test_an_unknown_profile_is_refused_by_naming_the_known() -> None:
    with pytest.raises(UsageError, match="not a profile") as caught:
        rules_for("eu-sales", ())
    assert all(name in caught.value.remedy for name in PROFILES)


def test_an_unreadable_window_is_refused() -> None:
    with pytest.raises(UsageError, match="write it as"):
        rules_for("us-sales", ("nine to five",))


# -- the gate --------------------------------------------------------------------------------------------------


def test_the_gate_says_until_when() -> None:
    assert ask(windows=("Mon-Fri 9-12",)) == Allowed(OPEN.replace(hour=16, minute=55))


def test_a_closed_window_says_when_it_opens() -> None:
    answer = refused(ask(now=NIGHT, windows=("daily 09:00-20:00",)))
    assert (answer.code, answer.next_at) == ("window_closed", NIGHT.replace(hour=14))
    assert EAST in answer.why


def test_both_rule_sets_apply_where_state_and_number_differ() -> None:
    both = Callee((EAST,), ("US-CT", "US-RI"))  # 9-20, and 9-18
    assert ask(both, local("2026-12-01T17:00")) == Allowed(local("2026-12-01T17:55"))
    assert refused(ask(both, local("2026-12-01T18:30"))).next_at == local("2026-12-02T09:00")
    assert refused(ask(both, local("2026-12-06T12:00"))).code == "window_closed", "a Sunday in Rhode Island"


def test_somewhere_in_the_us_the_rules_of_every_state_hold() -> None:
    somewhere = Callee((EAST,), ("US",))
    assert refused(ask(somewhere, local("2026-12-01T09:30"))).next_at == local("2026-12-01T10:00")
    assert ask(somewhere, local("2026-12-01T10:00")) == Allowed(local("2026-12-01T16:55"))
    saturday = refused(ask(somewhere, local("2026-12-05T12:00")))
    assert saturday.next_at == local("2026-12-07T10:00")
    assert Cap(1, 8) in SALES.terms(somewhere).caps


def test_sundays_and_holidays_are_those_of_the_callees_own_date() -> None:
    alabama = Callee((CENTRAL,), ("US-AL",))
    assert isinstance(ask(alabama, local("2026-12-05T19:30", CENTRAL)), Allowed)  # Sunday in UTC already
    assert refused(ask(alabama, local("2026-12-06T12:00", CENTRAL))).next_at == local(
        "2026-12-07T08:00", CENTRAL
    )
    thanksgiving = refused(ask(alabama, local("2026-11-26T12:00", CENTRAL)))
    assert thanksgiving.next_at == local("2026-11-27T08:00", CENTRAL)
    nebraska = Callee((CENTRAL,), ("US-NE",))
    assert refused(ask(nebraska, local("2026-12-25T12:00", CENTRAL))).next_at == local(
        "2026-12-25T13:00", CENTRAL
    )


def test_every_zone_must_be_open() -> None:
    coasts = Callee((WEST, EAST), ("US-NV",))
    assert refused(ask(coasts, local("2026-12-01T11:59"))).next_at == local("2026-12-01T12:00")
    assert ask(coasts, local("2026-12-01T12:00")) == Allowed(local("2026-12-01T19:55"))


def test_the_cap_counts_elapsed_hours_and_waits_for_a_window() -> None:
    at = local("2026-12-01T20:00")
    dials = (at - 5 * HOUR, at - 4 * HOUR, at - 3 * HOUR)
    answer = refused(ask(now=at, dialed=dials))
    assert (answer.code, answer.next_at) == ("over_cap", local("2026-12-02T15:00"))
    assert "3 in any 24 hours" in answer.why
    late = (at - 23 * HOUR + 30 * timedelta(minutes=1),) * 3  # free again at 21:30, when the window is shut
    assert refused(ask(now=at, dialed=late)).next_at == local("2026-12-02T08:00")
    assert isinstance(ask(now=at, dialed=dials[1:]), Allowed)
    assert isinstance(ask(now=at, dialed=(at - DAY,) * 3), Allowed), "a day old to the second counts no more"


def test_a_stricter_cap_of_a_state_counts_beside_the_profiles() -> None:
    maine = Callee((EAST,), ("US-ME",))
    at = local("2026-12-01T15:00")
    assert SALES.terms(maine).caps == (Cap(1, 8), Cap(3, 24))
    assert refused(ask(maine, at, dialed=(at - HOUR,))).next_at == local("2026-12-02T09:00")
    assert isinstance(ask(maine, at, dialed=(at - 8 * HOUR,)), Allowed)
    assert isinstance(ask(NEW_YORKER, at, dialed=(at - HOUR,)), Allowed)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_do_not_call_comes_before_everything(profile: str) -> None:
    answer = refused(ask(profile=profile, suppressed=True))
    assert (answer.code, answer.next_at) == ("suppressed", None)


@pytest.mark.parametrize(
    ("callee", "code"),
    [
        (Callee((), ("US-NY",)), "unknown_timezone"),
        (Callee(("Mars/Olympus",), ("US-NY",)), "unknown_timezone"),
        (Callee((EAST,), ()), "no_rules"),
        (Callee(("Europe/Berlin",), ("DE",)), "no_rules"),
        (Callee((EAST,), ("DE", "US-NY")), "no_rules"),
        (Callee((EAST, "Asia/Tokyo"), ("US-NY",)), "window_never_opens"),
    ],
)
def test_what_is_unknown_fails_closed_and_says_what_to_do(callee: Callee, code: str) -> None:
    windows = ("daily 9-10",) if code == "window_never_opens" else ()
    answer = refused(ask(callee, windows=windows))
    assert (answer.code, answer.next_at) == (code, None)
    assert ": " in remedy_for(answer)


def test_whoever_did_not_look_may_not_dial() -> None:
    assert refused(ask(suppressed=None)).code == "suppression_unknown"
    assert refused(may_call(NEW_YORKER, OPEN, SALES, None, False)).code == "history_unknown"


def test_a_blackout_shuts_a_place_on_its_own_dates() -> None:
    storm = Blackout(1, "US-LA", date(2026, 12, 1), date(2026, 12, 3), "hurricane")
    louisiana, texas = Callee((CENTRAL,), ("US-LA",)), Callee((CENTRAL,), ("US-TX",))
    for profile in PROFILES:
        rules = rules_for(profile, (), (storm,))
        shut = refused(may_call(louisiana, OPEN, rules, (), False))
        opens = local("2026-12-04T00:00" if profile == "none" else "2026-12-04T08:00", CENTRAL)
        assert (shut.code, shut.next_at) == ("window_closed", opens)
        assert isinstance(may_call(texas, OPEN, rules, (), False), Allowed), profile
        anywhere = Callee((CENTRAL,), ("US",))
        assert refused(may_call(anywhere, OPEN, rules, (), False)).next_at == (
            opens if profile != "us-sales" else local("2026-12-04T10:00", CENTRAL)
        )
    lost = may_call(Callee((), ()), OPEN, rules_for("none", (), (storm,)), (), False)
    assert refused(lost).next_at == datetime(2026, 12, 4, 12, tzinfo=UTC), "over in every zone on Earth"
    everywhere = rules_for(
        "us-sales", (), (Blackout(2, "US", date(2026, 12, 1), date(2027, 11, 30), "strike"),)
    )
    assert refused(may_call(texas, OPEN, everywhere, (), False)).next_at == local("2027-12-01T09:00", CENTRAL)


# -- properties ------------------------------------------------------------------------------------------------

PLACES = [code for code in the_book().rules if "-" in code] + ["US-NY", "US", "CA-ON", "AU", "FR"]
ZONES = [EAST, CENTRAL, WEST, "America/Phoenix", "Pacific/Honolulu", "America/St_Johns", "Asia/Kolkata"]
callees = st.builds(
    Callee,
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True).map(lambda z: tuple(sorted(z))),
    st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True).map(lambda p: tuple(sorted(p))),
)
windows = st.sampled_from([(), ("Mon-Fri 9-17",), ("daily 06:00-23:00",), ("Sat,Sun 10-18", "Wed 12:30-13")])
instants = st.datetimes(datetime(2025, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def wall_open(callee: Callee, kind: str, specs: tuple[str, ...], at: datetime) -> bool:
    """The rules once more, minute by minute and without intervals."""
    own = Schedule.parse(specs)
    for zone, place in itertools.product(callee.zones, callee.jurisdictions):
        there = at.astimezone(ZoneInfo(zone))
        minute = there.hour * 60 + there.minute
        layers = [rule.hours(there.date()) for rule in the_book().of(place, kind)]
        layers.append(own.hours(there.date()))
        if not all(any(start <= minute < end for start, end in spans) for spans in layers):
            return False
    return True


@settings(deadline=None)
@given(callees, windows, instants, st.sampled_from(["us-sales", "us-informational"]))
def test_allowed_only_where_every_wall_clock_is_inside_every_rule(
    callee: Callee, specs: tuple[str, ...], now: datetime, profile: str
) -> None:
    kind = PROFILES[profile].kind or ""
    answer = ask(callee, now, profile, specs)
    if isinstance(answer, Allowed):
        assert answer.until > now
        for share in (0, 0.3, 0.6, 0.999):
            assert wall_open(callee, kind, specs, now + (answer.until - now) * share)
        # The guard: what is allowed now is still allowed by the rules themselves minutes later.
        if not specs:
            assert wall_open(callee, kind, specs, answer.until + timedelta(minutes=4, seconds=59))
    elif answer.next_at is not None:
        assert answer.next_at > now
        assert isinstance(ask(callee, answer.next_at, profile, specs), Allowed)
        before = ask(callee, answer.next_at - timedelta(seconds=1), profile, specs)
        assert isinstance(before, Refused), "the earliest opening"
    else:
        assert answer.code == "window_never_opens"


@settings(deadline=None)
@given(callees, windows, instants)
def test_a_campaigns_windows_only_ever_narrow(callee: Callee, specs: tuple[str, ...], now: datetime) -> None:
    if isinstance(ask(callee, now, windows=specs), Allowed):
        wide = ask(callee, now)
        # A window of their own keeps three quarters of itself; the law's guard stays five minutes.
        assert isinstance(wide, Allowed)


@settings(deadline=None)
@given(callees, instants, st.lists(st.timedeltas(timedelta(0), timedelta(hours=40)), max_size=6))
def test_no_cap_is_ever_exceeded(callee: Callee, now: datetime, ago: list[timedelta]) -> None:
    dialed = tuple(now - one for one in ago)
    answer = ask(callee, now, dialed=dialed)
    at = now if isinstance(answer, Allowed) else answer.next_at
    if at is None:
        return
    for cap in SALES.terms(callee).caps:
        counted = [one for one in dialed if to_ms(at) - to_ms(one) < cap.span_ms]
        assert len(counted) < cap.calls
