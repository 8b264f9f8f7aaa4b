"""What listeners read: each form as its reader asks, and nothing that a column's name could break."""

import base64
import hmac
import json

import msgspec
import pytest

from holdtrue.monitoring.alarms import Alarm, Seen
from holdtrue.monitoring.messages import alertmanager, headline, plain, signed, slack, webhook

SEEN = Seen(
    release="a" * 64, kind="promise", subject="ROC AUC", what="the promise is broken", why=("0.7",), severity="critical"
)
ALARM = Alarm(id="0123456789abcdef", seen=SEEN, opened_us=1_790_000_000_000_000, last_us=1_790_000_000_000_000)
OVER = msgspec.structs.replace(ALARM, over_us=1_790_100_000_000_000)


def test_a_webhook_says_all_and_is_valid_json() -> None:
    found = json.loads(webhook(ALARM, "hotels", "https://wiki/alarms"))
    assert (found["type"], found["id"], found["severity"], found["over"]) == (
        "alarm.opened",
        ALARM.id,
        "critical",
        None,
    )
    assert found["runbook"] == "https://wiki/alarms#promise"
    assert json.loads(webhook(OVER, "hotels", ""))["type"] == "alarm.over"


@pytest.mark.parametrize("secret", ["a quiet secret", "whsec_" + base64.b64encode(b"k" * 24).decode()])
def test_a_signature_is_that_of_the_id_the_time_and_the_body(secret: str) -> None:
    found = signed(b'{"x":1}', id="m1", now_s=1_790_000_000, secret=secret)
    key = b"k" * 24 if secret.startswith("whsec_") else secret.encode()
    made = hmac.digest(key, b'm1.1790000000.{"x":1}', "sha256")
    assert found["webhook-signature"] == f"v1,{base64.b64encode(made).decode()}"
    other = signed(b'{"x":2}', id="m1", now_s=1_790_000_000, secret=secret)
    assert other["webhook-signature"] != found["webhook-signature"]


def test_a_name_cannot_call_a_channel() -> None:
    sly = msgspec.structs.replace(ALARM, seen=msgspec.structs.replace(SEEN, what="<!channel> & <http://x|y>"))
    text = json.loads(slack(sly, "hotels", ""))["text"]
    assert "&lt;!channel&gt; &amp;" in text
    assert "<!" not in text


def test_alertmanager_gets_labels_that_name_the_alarm_and_its_end() -> None:
    opened, over = json.loads(alertmanager([ALARM, OVER], "hotels", "wiki"))
    assert opened["labels"] == over["labels"]
    assert opened["labels"]["alertname"] == "holdtrue_promise"
    assert "endsAt" not in opened
    assert over["endsAt"] > over["startsAt"]


def test_people_read_what_happened_and_what_to_do() -> None:
    text = plain(ALARM, "hotels", "wiki")
    assert text.startswith("hotels: the promise is broken\n")
    assert "What to do: wiki#promise" in text
    assert f"--silence {ALARM.id}" in text
    assert headline(OVER, "hotels") == "hotels: over: the promise is broken"
