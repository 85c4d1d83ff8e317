"""The one model of a campaign's options, behind the campaign file and the command line.

The command line makes its options from this model and reads them through it, so that both know the same options, check
them alike, and say the same of what is wrong. The key `max_attempts` of the file is the option `--max-attempts`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from campaigns.compliance import PROFILES, rules_for
from campaigns.domain.batching import BATCH_MODE, LONGEST_HORIZON, SHORTEST_HORIZON
from campaigns.domain.caller_ids import parse_rest
from campaigns.domain.entities import CampaignOptions
from campaigns.domain.errors import UsageError
from campaigns.domain.retry import RetryPolicy, parse_delay
from campaigns.domain.span import check_span
from campaigns.domain.split import Variant
from campaigns.domain.windows import Schedule, zone

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Flag:
    """How a key stands on the command line, and what to do about a value that is wrong.

    kind: what the shell's text is read as. many: the option may be repeated. pairs: each is FIELD=COLUMN.
    """

    metavar: str
    remedy: str
    kind: type = str
    many: bool = False
    pairs: bool = False


def _e164(number: str) -> str:
    if not re.fullmatch(r"\+[1-9]\d{6,14}", number):
        raise ValueError(f"{number!r} is not an E.164 number")
    return number


def _window(spec: str) -> str:
    Schedule.parse([spec])
    return spec


def _zone(name: str) -> str:
    zone(name)
    return name


def _region(code: str) -> str:
    from campaigns.leads import is_region  # phone numbers take a tenth of a second to import

    if not is_region(code):
        raise ValueError(f"{code!r} is not a country")
    return code


def _one_of(known: Sequence[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return value

    return check


def _retry(spec: str) -> str:
    RetryPolicy.parse(spec, 1)
    return spec


def _horizon(text: str) -> str:
    if not SHORTEST_HORIZON <= parse_delay(text).total_seconds() <= LONGEST_HORIZON:
        raise ValueError(f"{text!r} is not from 2m to 2h")
    return text


def _rest(text: str) -> str:
    parse_rest(text)
    return text.strip()


def _agent(spec: str) -> str:
    Variant.parse(_filled(spec))
    return spec.strip()


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


def _name(text: str) -> str:
    if not text.strip() or len(text) > 100 or any(ord(letter) < 32 for letter in text):
        raise ValueError(f"{text!r} cannot name a campaign")
    return text


def _column(name: str) -> str:
    return _filled(name).strip()


def _instant_text(value: Any) -> Any:
    """TOML has dates and times of its own."""
    return value.isoformat() if isinstance(value, date) else value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _instant(text: str) -> str:
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a date and time") from None
    if len(text.strip()) <= len("2027-03-01"):
        raise ValueError(f"{text!r} has no time of day")
    return text.strip()


Instant = Annotated[str, BeforeValidator(_instant_text, json_schema_input_type=str), AfterValidator(_instant)]
_AS_LIST = BeforeValidator(_listed, json_schema_input_type=str | list[str])


_DEFAULT = CampaignOptions()
MODES = (_DEFAULT.mode, BATCH_MODE)


class CampaignConfig(BaseModel):
    """A campaign: how its leads are dialed. What is left out has its default."""

    model_config = ConfigDict(extra="forbid", strict=True, title="campaign.toml")

    name: Annotated[
        str,
        AfterValidator(_name),
        Field(description="Name of the campaign; one given on the command line goes before it."),
    ] = ""
    from_numbers: Annotated[
        list[Annotated[str, AfterValidator(_e164)]],
        Field(alias="from", min_length=1, description="Number to call from, E.164; default: the only one."),
        _AS_LIST,
        Flag("NUMBER", "write it as +14155550100", many=True),
    ] = list(_DEFAULT.from_numbers)
    number_cap: Annotated[
        Annotated[int, Field(ge=1, le=1_000_000)] | None,
        Field(description="Calls from each number in 24 hours, over all campaigns; default: no cap."),
        Flag("N", "write a whole number above 0, or leave it out for no cap", int),
    ] = _DEFAULT.number_cap
    number_rest: Annotated[
        str,
        AfterValidator(_rest),
        Field(
            description="How long a number rests after a call that was marked as spam or blocked by the network,"
            f" or none; default {_DEFAULT.number_rest}."
        ),
        Flag("TIME", "write it as 4h or 1d, or none"),
    ] = _DEFAULT.number_rest
    agents: Annotated[
        list[Annotated[str, AfterValidator(_agent)]],
        Field(
            alias="agent",
            min_length=1,
            description="Retell agent; default: the number's own. Several share the leads by weight, as agent_a=2.",
        ),
        _AS_LIST,
        Flag("ID[=WEIGHT]", "write it as agent_a, or agent_a=2; `campaigns agents` lists them", many=True),
    ] = list(_DEFAULT.agents)
    agent_version: Annotated[
        str,
        AfterValidator(_filled),
        Field(description="Version of the agents, a number or a tag; default: the latest of each."),
        Flag("VERSION", "leave it out for the agent's latest one"),
    ] = _DEFAULT.agent_version
    mode: Annotated[
        str,
        AfterValidator(_one_of(MODES)),
        Field(
            description="phone: call by call, the default. batch: small batches that Retell dials.",
            json_schema_extra={"enum": list(MODES)},
        ),
        Flag("MODE", "use phone, which dials call by call, or batch"),
    ] = _DEFAULT.mode
    batch_horizon: Annotated[
        str,
        AfterValidator(_horizon),
        Field(
            description=f"In batch mode: the longest that calls wait at Retell, default {_DEFAULT.batch_horizon}."
        ),
        Flag("TIME", "write it as 5m, from 2m to 2h"),
    ] = _DEFAULT.batch_horizon
    concurrency: Annotated[
        Annotated[int, Field(ge=1, le=100_000)] | None,
        Field(description="Calls in progress at most; default: what the account allows."),
        Flag("N", "use `campaigns pause` to stop dialing, or leave it out", int),
    ] = _DEFAULT.concurrency
    cps: Annotated[
        Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None,
        Field(description="Calls per second; default 1, and no limit against a local stand-in."),
        Flag("N", "write a number above 0 and at most 1000, or leave it out", float),
    ] = _DEFAULT.cps
    weight: Annotated[
        float,
        Field(
            gt=0,
            le=1000,
            allow_inf_nan=False,
            description="Share of the account's lines against other campaigns; default 1.",
        ),
        Flag("W", "write a number above 0 and at most 1000; `campaigns pause` stops a campaign", float),
    ] = _DEFAULT.weight
    profile: Annotated[
        str,
        AfterValidator(_one_of(tuple(PROFILES))),
        Field(
            description=f"Calling rules: {', '.join(PROFILES)}. Default {_DEFAULT.profile}.",
            json_schema_extra={"enum": list(PROFILES)},
        ),
        Flag("PROFILE", f"use one of {', '.join(PROFILES)}"),
    ] = _DEFAULT.profile
    windows: Annotated[
        list[Annotated[str, AfterValidator(_window)]],
        Field(alias="window", min_length=1, description="As 'Mon-Fri 09:00-20:00', by the callee's clock."),
        _AS_LIST,
        Flag("SPEC", "write it as 'Mon-Fri 09:00-20:00'", many=True),
    ] = list(_DEFAULT.windows)
    timezone: Annotated[
        str,
        AfterValidator(_zone),
        Field(description="IANA zone: of leads that name none, and of the campaign's start and end."),
        Flag("ZONE", "write an IANA name, as America/New_York"),
    ] = _DEFAULT.timezone
    start_at: Annotated[
        Instant,
        Field(description="When dialing begins, as '2027-03-01 09:00'; default: at the launch."),
        Flag("WHEN", "write it as 2027-03-01 09:00, by the campaign's zone"),
    ] = _DEFAULT.start_at
    end_at: Annotated[
        Instant,
        Field(description="When dialing ends; leads that still wait then expire."),
        Flag("WHEN", "write it as 2027-03-12 18:00, by the campaign's zone"),
    ] = _DEFAULT.end_at
    region: Annotated[
        str,
        AfterValidator(_region),
        Field(description=f"Country of the numbers, default {_DEFAULT.region}."),
        Flag("CC", "write its two letters, as US or GB"),
    ] = _DEFAULT.region
    retry: Annotated[
        str,
        AfterValidator(_retry),
        Field(description=f"none, or as no_answer:30m,2h;busy:10m. Default {_DEFAULT.retry}"),
        Flag("SPEC", "write none, or outcomes as no_answer:30m,2h;busy:10m"),
    ] = _DEFAULT.retry
    max_attempts: Annotated[
        int,
        Field(ge=1, le=1_000, description=f"Attempts per lead, default {_DEFAULT.max_attempts}."),
        Flag("N", "leave it out for the default", int),
    ] = _DEFAULT.max_attempts
    dnc_field: Annotated[
        str,
        AfterValidator(_filled),
        Field(description="Analysis field that says: never call again."),
        Flag("FIELD", "name a field that the agent extracts, or leave it out"),
    ] = _DEFAULT.dnc_field
    callback_field: Annotated[
        str,
        AfterValidator(_filled),
        Field(description="Analysis field with the time at which to call back."),
        Flag("FIELD", "name a field that the agent extracts, or leave it out"),
    ] = _DEFAULT.callback_field
    mapping: Annotated[
        dict[str, Annotated[str, AfterValidator(_column)]],
        Field(alias="map", description="Names of columns that are not recognised, as phone='Mobile no'."),
        Flag("FIELD=COLUMN", "write it as phone='Mobile no'", many=True, pairs=True),
    ] = dict(_DEFAULT.mapping)

    def over(self, base: CampaignOptions) -> CampaignOptions:
        """`base` with what is given here."""
        given: dict[str, Any] = {}
        for name in self.model_fields_set & FLAGS.keys():
            value = getattr(self, name)
            given[name] = tuple(value) if isinstance(value, list) else value
        return replace(base, **given)


def _flag(field: FieldInfo) -> Flag | None:
    return next((one for one in field.metadata if isinstance(one, Flag)), None)


#: Attribute of CampaignOptions -> its flag; every field of the model but the campaign's name.
FLAGS: dict[str, Flag] = {
    name: flag for name, field in CampaignConfig.model_fields.items() if (flag := _flag(field)) is not None
}


def key_of(name: str) -> str:
    """The key in the file of an attribute of CampaignOptions: from_numbers -> from."""
    return CampaignConfig.model_fields[name].alias or name


def description_of(name: str) -> str:
    return CampaignConfig.model_fields[name].description or ""


_BY_KEY = {key_of(name): name for name in CampaignConfig.model_fields}


def json_schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors."""
    schema = CampaignConfig.model_json_schema()
    for about in schema["properties"].values():
        if about["default"] in (None, "", [], {}):
            del about["default"]  # what is left out is neither null nor empty
    return {"$schema": SCHEMA_ID, **schema}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. key: dotted, empty for the whole. line: in the file, None for none."""

    key: str
    message: str
    remedy: str
    line: int | None = None

    def document(self) -> dict[str, object]:
        return {"line": self.line, "key": self.key, "message": self.message, "remedy": self.remedy}


def check_values(values: Mapping[str, Any]) -> tuple[CampaignConfig, list[Problem]]:
    """What of the values can be used, and everything that is wrong with the rest."""
    try:
        return CampaignConfig.model_validate(dict(values)), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    problems: list[Problem] = []
    for one in found:
        where = ".".join(str(part) for part in one["loc"] if part != "[key]")
        key = str(one["loc"][0]) if one["loc"] else ""
        message = str(one["msg"]).removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key.replace("-", "_"), _BY_KEY, 1)
            remedy = f"write {near[0]}" if near else f"leave it out; there are {', '.join(_BY_KEY)}"
            problems.append(Problem(where, "there is no such option", remedy))
            continue
        name = _BY_KEY.get(key, "")
        flag = FLAGS.get(name)
        # Some messages name the remedy themselves.
        message, colon, hint = message.partition(": ")
        remedy = hint if colon else flag.remedy if flag else "use 1 to 100 printable letters"
        problems.append(Problem(where, message.replace("Input should", "it should"), remedy))
    bad = {problem.key.split(".")[0] for problem in problems}
    usable, _ = check_values({key: value for key, value in values.items() if key not in bad})
    return usable, problems


def check_options(options: CampaignOptions, now: datetime | None = None) -> list[Problem]:
    """What is wrong with options that are each right: windows that never open, an end before the start.

    now: where given, the start and the end are also held against it.
    """
    problems: list[Problem] = []
    try:
        rules_for(options.profile, options.windows)
    except UsageError as error:
        problems.append(Problem("window", str(error), error.remedy))
    try:
        options.variants()
    except ValueError as error:
        message, _, remedy = str(error).partition(": ")
        problems.append(Problem("agent", message, remedy))
    doubled = [number for number in options.from_numbers if options.from_numbers.count(number) > 1]
    if doubled:
        problems.append(Problem("from", f"{doubled[0]} stands twice", "give each number once"))
    try:
        check_span(options.starts_at(), options.ends_at(), now)
    except ValueError as error:
        message, _, remedy = str(error).partition(": ")
        late = options.end_at and "end" in message.split("start")[0]
        problems.append(Problem("end_at" if late or not options.start_at else "start_at", message, remedy))
    return problems
