"""What people see of tokens: the secret alone on the output, once, and everything else beside it."""

import json
from pathlib import Path

import pytest

from holdtrue.cli.tokens import token_list, token_new, token_revoke
from holdtrue.core.errors import Misuse
from holdtrue.serving.tokens import SECRET
from tests.cli.driver import PROJECT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOLDTRUE_ACTOR", "tester")
    monkeypatch.delenv("HOLDTRUE_HOME", raising=False)
    (tmp_path / "holdtrue.yaml").write_text(PROJECT)
    return tmp_path


def test_the_secret_stands_alone_on_the_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert token_new("ci", ["predict", "label"], 90, folder, as_json=False) == 0
    out, err = capsys.readouterr()
    assert SECRET.fullmatch(out.strip().encode())
    assert out.count("\n") == 1
    assert out.strip() not in err
    assert "ci: predict, label; until 20" in err


def test_machines_get_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert token_new("ci", ["read"], 0, folder, as_json=True) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert err == ""
    assert made["secret"].startswith(f"ht_{made['token']}_")
    assert (made["name"], made["scopes"], made["expires"], made["alive"]) == ("ci", ["read"], None, True)
    assert token_list(folder, as_json=True) == 0
    (listed,) = json.loads(capsys.readouterr().out)["tokens"]
    assert listed == {name: value for name, value in made.items() if name != "secret"}


def test_the_list_tells_who_may_what_until_when(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token_list(folder, as_json=False)
    assert capsys.readouterr().out == "There is no token yet. Make one: holdtrue token new --name NAME\n"
    token_new("ci", ["predict"], 0, folder, as_json=False)
    secret = capsys.readouterr().out.strip()
    token_new("robot", ["operate"], 1, folder, as_json=False)
    token_revoke(secret[3:15], folder, as_json=False)
    assert "is revoked; servers turn it away within a second" in capsys.readouterr().out
    token_revoke(secret[3:15], folder, as_json=False)
    assert "was revoked already" in capsys.readouterr().out
    token_list(folder, as_json=False)
    _, _, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:3] == [secret[3:15], "ci", "predict"]
    assert " revoked 20" in first
    assert second.split()[1:3] == ["robot", "operate"]
    assert " good until 20" in second
    assert secret[16:] not in first + second


def test_a_revocation_tells_machines_whether_it_changed_anything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token_new("ci", ["predict"], 1, folder, as_json=True)
    made = json.loads(capsys.readouterr().out)
    for changed in (True, False):
        token_revoke(made["token"], folder, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert (told["changed"], told["alive"]) == (changed, False)
        assert "secret" not in told


def test_a_scope_that_is_none_is_answered_with_the_nearest(folder: Path) -> None:
    with pytest.raises(Misuse, match="did you mean 'predict'"):
        token_new("ci", ["predicts"], 1, folder, as_json=False)
