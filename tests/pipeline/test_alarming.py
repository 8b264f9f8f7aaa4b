"""Alarms reach who listens, over real sockets, once each, and are in the ledger."""

import json
import socketserver
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from holdtrue.core.errors import Misuse, Refused
from holdtrue.monitoring.drift import Drift
from holdtrue.monitoring.quality import Held, Pledge
from holdtrue.monitoring.refusals import Refusals
from holdtrue.pipeline.alarming import BOOK, Told, alarms, note, note_refusals, silence
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.watched import Quality, Watched, Window
from holdtrue.pipeline.why_now import explain_about
from holdtrue.spec.project import Listener, Watch
from holdtrue.statistics.estimate import Estimate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "a quiet secret"


class Hook(ThreadingHTTPServer):
    """Hears what is posted; answers with the status it is told to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        super().__init__(("127.0.0.1", 0), _Hear)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Hear(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hook = self.server
        assert isinstance(hook, Hook)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if hook.status == 200:
            hook.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(hook.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Post(socketserver.ThreadingTCPServer):
    """A mail server of a few words."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        super().__init__(("127.0.0.1", 0), _Take)


class _Take(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        post = self.server
        assert isinstance(post, Post)
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    mail += part
                post.mails.append(mail.decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 well\r\n")
            if word == b"QUIT":
                return


@contextmanager
def running(server: Hook | Post) -> Generator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hook() -> Generator[Hook]:
    made = Hook()
    with running(made):
        yield made


def drift(column: str) -> Drift:
    changed = (("below 3", 0.1, 0.4),)
    return Drift(column=column, evidence=9.0, size=0.4, windows=1, real=True, alarm=True, changed=changed)


def watched(*columns: str, broken: bool = False, release: str = "a" * 64) -> Watched:
    window = Window(start_us=0, rows=100, unread=0, late=0, drifts=tuple(drift(name) for name in columns))
    quiet = Window(start_us=1, rows=0, unread=0, late=0, drifts=())  # a day without rows ends nothing
    pledge = Pledge(text="ROC AUC is at least 0.8", metric="roc_auc", direction="at_least", bound=0.8)
    estimate = Estimate(value=0.7, low=0.68, high=0.72, rows=900, method="pairs", confidence=0.9)
    held = Held(pledge=pledge, state="broken" if broken else "kept", estimate=estimate)
    quality = Quality(since_us=0, rows=100, labelled=90, odd=0, delay=None, promises=(held,))
    return Watched(release=release, window_days=1.0, level=0.03, windows=(window, quiet), quality=quality, damaged=())


def noted(keeper: Keeper, seen: Watched, *tell: Listener, day: float = 0) -> Told:
    return note(keeper, seen, Watch(tell=tell, runbook="wiki"), now=NOW + timedelta(days=day))


def deeds(keeper: Keeper) -> list[tuple[str, str]]:
    page = keeper.ledger(limit=20)
    return [
        (entry.action, str(entry.detail.get("what", ""))) for entry in reversed(page.rows) if "alarm" in entry.action
    ]


def test_every_listener_hears_of_an_alarm_once_and_of_its_end(keeper: Keeper, hook: Hook) -> None:
    tell = (
        Listener(webhook=f"{hook.url}/hook", secret=SECRET),
        Listener(slack=f"{hook.url}/slack"),
        Listener(alertmanager=hook.url),
    )
    done = noted(keeper, watched("age", broken=True), *tell)
    assert (len(done.news), len(done.lasting), done.sent, done.failed) == (2, 2, 6, ())
    assert noted(keeper, watched("age", broken=True), *tell, day=1).sent == 0
    paths = [path for path, _, _ in hook.heard]
    assert sorted(paths) == ["/api/v2/alerts", "/hook", "/hook", "/slack", "/slack"]
    heads, body = next((heads, body) for path, heads, body in hook.heard if path == "/hook")
    assert heads["webhook-signature"].startswith("v1,")
    assert heads["webhook-id"] == f"{json.loads(body)['id']}-opened"
    ended = noted(keeper, watched(), *tell, day=5)
    assert [alarm.is_over for alarm in ended.news] == [True, True]
    assert (ended.sent, ended.lasting) == (6, ())
    assert deeds(keeper) == [
        ("alarm raised", "the column age has changed"),
        ("alarm raised", "the promise is broken: ROC AUC is at least 0.8"),
        ("alarm over", "the column age has changed"),
        ("alarm over", "the promise is broken: ROC AUC is at least 0.8"),
    ]
    keeper.verify()


def test_more_requests_that_break_the_contract_are_one_alarm_that_can_be_explained(keeper: Keeper) -> None:
    found = Refusals(span="five minutes", requests=300, refused=30, before=20_000, refused_before=100, evidence=22.4)
    release = watched("age").release
    for minute in (0, 5):
        note_refusals(keeper, found, Watch(), release=release, now=NOW + timedelta(minutes=minute))
    (alarm,) = alarms(keeper)
    assert (alarm.seen.kind, alarm.seen.what) == ("contract", "more requests break the contract")
    assert alarm.seen.why[0] == "30 of 300 in five minutes, 10.0%; 0.5% of 20,000 before"
    assert deeds(keeper) == [("alarm raised", "more requests break the contract")]
    told = explain_about(keeper, alarm.id, now=NOW)
    assert alarm.seen.what in told.headline
    assert told.causes


def test_a_mail_says_what_happened(keeper: Keeper) -> None:
    post = Post()
    with running(post):
        tell = Listener(email=("ops@example.com",), smtp=f"smtp://127.0.0.1:{post.server_address[1]}")
        assert noted(keeper, watched("age"), tell).sent == 1
    (mail,) = post.mails
    assert "Subject: waves: the column age has changed" in mail
    assert "To: ops@example.com" in mail
    assert "below 3: 10.0% of the rows before, 40.0% now" in mail


def test_who_could_not_be_told_is_told_at_the_next_look(keeper: Keeper, hook: Hook) -> None:
    tell = (Listener(webhook=f"{hook.url}/hook"), Listener(slack=f"{hook.url}/slack"))
    hook.status = 500
    done = noted(keeper, watched("age"), *tell)
    assert done.sent == 0
    assert [each.split(":")[0] for each in done.failed] == ["webhook 1", "slack 2"]
    assert "/slack" not in "".join(done.failed)  # that address is a secret
    hook.status = 200
    assert noted(keeper, watched("age"), *tell, day=0.1).sent == 2
    first, second = (heads.get("webhook-id", "") for _, heads, _ in hook.heard)
    assert (first, second) == ("", "")  # nothing is signed without a secret


def test_a_silenced_alarm_is_kept_and_not_told(keeper: Keeper, hook: Hook) -> None:
    tell = Listener(webhook=hook.url)
    hook.status = 500
    (alarm,) = noted(keeper, watched("age"), tell).news
    hook.status = 200
    silence(keeper, alarm.id[:8], until_us=round((NOW + timedelta(days=2)).timestamp() * 1e6), reason="fair", now=NOW)
    assert [each.silenced_by for each in alarms(keeper)] == ["tester: fair"]
    assert noted(keeper, watched("age"), tell, day=1).sent == 0
    assert noted(keeper, watched("age"), tell, day=2.1).sent == 1
    with pytest.raises(Misuse, match="no alarm"):
        silence(keeper, "feed", until_us=1, reason="", now=NOW)
    assert ("alarm silenced", "") in deeds(keeper)


def test_an_address_inside_is_not_asked_unless_that_is_meant(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    from holdtrue.core import web

    def found(*words: object, **others: object) -> Sequence[tuple[int, int, int, str, tuple[str, int]]]:
        return [(2, 1, 6, "", ("10.1.2.3", 443))]

    monkeypatch.setattr(web.socket, "getaddrinfo", found)
    done = noted(keeper, watched("age"), Listener(webhook="https://hooks.example/x"))
    assert done.failed == (
        "webhook 1: hooks.example is 10.1.2.3, an address of a private network, which is not asked.",
    )


def test_many_who_look_at_once_tell_once(keeper: Keeper, hook: Hook) -> None:
    tell = Listener(webhook=hook.url)
    threads = [threading.Thread(target=noted, args=(keeper, watched("age"), tell)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.heard) == 1
    assert len(deeds(keeper)) == 1


def test_a_book_that_is_damaged_is_said(keeper: Keeper) -> None:
    noted(keeper, watched("age"))
    (keeper.home.path / "watch" / BOOK).write_text("{")
    with pytest.raises(Refused, match="cannot be read"):
        alarms(keeper)
