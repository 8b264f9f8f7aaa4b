"""Moments as the registry keeps them: whole microseconds since 1970 UTC in columns, ISO text in the ledger."""

from datetime import UTC, datetime, timedelta

from holdtrue.core.errors import Misuse

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Count from 1970; exact, which a float of seconds is not.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, 7, tzinfo=UTC))
    1000007
    """
    if moment.tzinfo is None:
        raise Misuse(f"The moment {moment} does not say its time zone.", do="Give it one, such as UTC.")
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(count_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=count_us)


def iso(count_us: int) -> str:
    """Write a moment so that text sorts as time does.

    >>> iso(1_000_007)
    '1970-01-01T00:00:01.000007Z'
    """
    return moment(count_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
