"""When a person may be called: rules as data, and the gate that is asked at the claim and before the dial.

Not legal advice: the rules are those of a careful runner, and the operator answers for the calls.
"""

from campaigns.compliance.gate import Allowed, Refused, may_call
from campaigns.compliance.profiles import PROFILES, Rules, rules_for

__all__ = ["PROFILES", "Allowed", "Refused", "Rules", "may_call", "rules_for"]
