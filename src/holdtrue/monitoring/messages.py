"""What is said of an alarm, in the form that each listener reads."""

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from holdtrue.monitoring.alarms import Alarm

MARKS = {"critical": "🔴", "warning": "🟠"}
BASE64 = "whsec_"  # what a secret in base64 begins with


def moment(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, tz=UTC).isoformat(timespec="seconds")


def headline(alarm: Alarm, project: str) -> str:
    """Say in one line what has begun or ended."""
    return f"{project}: {'over: ' if alarm.is_over else ''}{alarm.seen.what}"


def plain(alarm: Alarm, project: str, runbook: str) -> str:
    """Say everything, for people who read text."""
    lines = [
        headline(alarm, project),
        "",
        *(f"- {line}" for line in alarm.seen.why),
        f"- release {alarm.seen.release[:12]}, since {moment(alarm.opened_us)}"
        + (f", over since {moment(alarm.over_us)}" if alarm.is_over else ""),
        "",
        f"What to do: {runbook}#{alarm.seen.kind}",
        f"Quiet it:   holdtrue alarms --silence {alarm.id} --for 7d",
    ]
    return "\n".join(lines)


def webhook(alarm: Alarm, project: str, runbook: str) -> bytes:
    """Write an alarm as JSON."""
    return json.dumps(
        {
            "type": "alarm.over" if alarm.is_over else "alarm.opened",
            "id": alarm.id,
            "project": project,
            "release": alarm.seen.release,
            "kind": alarm.seen.kind,
            "subject": alarm.seen.subject,
            "severity": alarm.seen.severity,
            "what": alarm.seen.what,
            "why": list(alarm.seen.why),
            "opened": moment(alarm.opened_us),
            "over": moment(alarm.over_us) if alarm.is_over else None,
            "runbook": f"{runbook}#{alarm.seen.kind}",
        },
        ensure_ascii=False,
    ).encode()


def signed(body: bytes, *, id: str, now_s: int, secret: str) -> Mapping[str, str]:
    """Give the headers by which a listener knows who speaks, and when (https://www.standardwebhooks.com).

    >>> signed(b"{}", id="a1", now_s=1_700_000_000, secret="quiet")["webhook-signature"]
    'v1,Wcja1DEB/5EFJwhxdMjZLXh9LteVXJVnlUbxfbt0xDQ='
    """
    key = base64.b64decode(secret.removeprefix(BASE64)) if secret.startswith(BASE64) else secret.encode()
    made = hmac.digest(key, b".".join([id.encode(), str(now_s).encode(), body]), "sha256")
    return {
        "webhook-id": id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": f"v1,{base64.b64encode(made).decode()}",
    }


def slack(alarm: Alarm, project: str, runbook: str) -> bytes:
    """Write an alarm as Slack, Mattermost and Discord's Slack address read it."""
    mark = "✅" if alarm.is_over else MARKS[alarm.seen.severity]
    # These three are all that the form asks to be escaped; a column may be called <!channel>.
    text = plain(alarm, project, runbook).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    first, _, rest = text.partition("\n")
    return json.dumps({"text": f"{mark} *{first}*\n{rest.strip()}"}, ensure_ascii=False).encode()


def alertmanager(alarms: Sequence[Alarm], project: str, runbook: str) -> bytes:
    """Write alarms as Prometheus Alertmanager's `POST /api/v2/alerts` takes them."""
    return json.dumps(
        [
            {
                "labels": {
                    "alertname": f"holdtrue_{alarm.seen.kind}",
                    "project": project,
                    "release": alarm.seen.release[:12],
                    "subject": alarm.seen.subject,
                    "severity": alarm.seen.severity,
                },
                "annotations": {
                    "summary": alarm.seen.what,
                    "description": "\n".join(alarm.seen.why),
                    "runbook_url": f"{runbook}#{alarm.seen.kind}",
                },
                "startsAt": moment(alarm.opened_us),
                **({"endsAt": moment(alarm.over_us)} if alarm.is_over else {}),
            }
            for alarm in alarms
        ],
        ensure_ascii=False,
    ).encode()
