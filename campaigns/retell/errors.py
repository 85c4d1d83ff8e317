"""What can go wrong between the runner and Retell, except for a dial.

A dial never raises: it answers with a verdict (see `verdicts`). Every other operation raises one of

* RetellError                 what happened, and what to do about it
  + RetellRefused             Retell answered 4xx: asking again changes nothing
    - RetellKeyRefused        401: the API key
    - RetellPaymentRequired   402: trial or payment
    - RetellNotFound          404 or 422: no such thing, or a value Retell does not accept
    - RetellLimited           429: too many requests or calls; `retry_after` seconds, if Retell said
  + RetellUnavailable         5xx, a broken connection, or an answer nobody can read: try later

No message ever holds the API key: the client masks it, even where the server echoes it.
"""

from __future__ import annotations

_REMEDIES = {
    400: "check the request: Retell names the field in its message",
    401: "set RETELL_API_KEY to a valid key of this workspace",
    402: "check the payment method and the balance of the Retell workspace",
    403: "this key may not do that: check its permissions in the Retell workspace",
    404: "check that the id or number exists in this workspace, and that RETELL_BASE_URL is right",
    422: "check that the id or number exists in this workspace and that the values are allowed",
    429: "wait, or lower the concurrency or the calls per second",
}


def remedy_for(status: int) -> str:
    """What an operator can do about an HTTP status (100-599) of Retell."""
    if status >= 500:
        return "nothing is wrong on this side: wait for Retell to recover"
    if 300 <= status < 400:
        return "check RETELL_BASE_URL: it answers with a redirect"
    return _REMEDIES.get(status, _REMEDIES[400])


class RetellError(Exception):
    """`message` says what happened, `remedy` what to do about it. Picklable."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})"


class RetellRefused(RetellError):
    """Retell answered with a 4xx `status`. `retry_after`: seconds, where Retell asked for a pause."""

    def __init__(self, message: str, remedy: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(message, remedy)
        self.args = (message, remedy, status, retry_after)
        self.status = status
        self.retry_after = retry_after


class RetellKeyRefused(RetellRefused):
    """401: the API key is missing, wrong or revoked."""


class RetellPaymentRequired(RetellRefused):
    """402: the trial is over or the payment failed."""


class RetellNotFound(RetellRefused):
    """404 or 422: no such call, number or agent (get-call answers 422 to an unknown id)."""


class RetellLimited(RetellRefused):
    """429: above a limit of the workspace; Retell does not say which one."""


class RetellUnavailable(RetellError):
    """5xx, a transport error, or an unreadable answer. `status` is None where no answer came."""

    def __init__(
        self, message: str, remedy: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, remedy)
        self.args = (message, remedy, status, retry_after)
        self.status = status
        self.retry_after = retry_after


_REFUSALS: dict[int, type[RetellRefused]] = {
    401: RetellKeyRefused,
    402: RetellPaymentRequired,
    404: RetellNotFound,
    422: RetellNotFound,
    429: RetellLimited,
}


def error_for(
    status: int, message: str, retry_after: float | None = None
) -> RetellRefused | RetellUnavailable:
    """The error of an HTTP status that is not 2xx. `message` must be masked already."""
    text = f"Retell answered {status}: {message}" if message else f"Retell answered {status}"
    if 400 <= status < 500:
        return _REFUSALS.get(status, RetellRefused)(text, remedy_for(status), status, retry_after)
    return RetellUnavailable(text, remedy_for(status), status, retry_after)
