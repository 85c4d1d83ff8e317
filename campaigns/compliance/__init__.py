"""When a person may be called: rules as data, the gate that is asked at the claim and before the dial, the evidence.

Not legal advice: the rules are those of a careful caller, and the operator answers for the calls.
"""

from campaigns.compliance.book import (
    CONFIDENCES,
    NOT_LEGAL_ADVICE,
    Book,
    Rule,
    RulesError,
    read_book,
    the_book,
)
from campaigns.compliance.evidence import evidence_of, tzdata_date, tzdata_version
from campaigns.compliance.gate import may_call, remedy_for
from campaigns.compliance.profiles import PROFILES, Rules, Terms, rules_for

__all__ = [
    "CONFIDENCES",
    "NOT_LEGAL_ADVICE",
    "PROFILES",
    "Book",
    "Rule",
    "Rules",
    "RulesError",
    "Terms",
    "evidence_of",
    "may_call",
    "read_book",
    "remedy_for",
    "rules_for",
    "the_book",
    "tzdata_date",
    "tzdata_version",
]
