"""No traceback reaches a user: every failure becomes a message and an exit code."""

import _thread
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import ParamSpec

import typer

from holdtrue.core.errors import HoldtrueError

P = ParamSpec("P")
INTERRUPTED = 130  # what a shell expects of a program ended by Ctrl-C
STOPPED = threading.Event()  # Ctrl-C was pressed
ROOM = {errno.ENOSPC: "there is no space left", errno.EDQUOT: "the quota is used up"}


def guarded(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turn what a command raises into a message on the error stream and the right exit code."""

    @wraps(command)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.get("as_json"))
        try:
            code = command(*args, **kwargs) or 0
            sys.stdout.flush()
        except (typer.Exit, typer.Abort):
            raise
        except (KeyboardInterrupt, Exception) as error:
            if STOPPED.is_set() or isinstance(error, KeyboardInterrupt):
                words = "Stopped. Nothing is half-written; the next run goes on from here."
                code = _told(words, INTERRUPTED, as_json)
            else:
                code = _explained(error, as_json)
        raise typer.Exit(code)

    return inner


def _explained(error: Exception, as_json: bool) -> int:
    """Tell what happened and what to do; gives the exit code."""
    match error:
        case HoldtrueError():
            return _told(str(error), error.exit_code, as_json, what=error.what, faults=error.faults, do=error.do)
        case BrokenPipeError():
            # Whoever read us has gone (`| head`); there is nobody to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case OSError():
            return _told(_disk(error), 1, as_json)
        case MemoryError():
            words = "There is not enough memory for this.\nUse fewer rows or columns, or a larger machine."
            return _told(words, 1, as_json)
        case _:
            if os.environ.get("HOLDTRUE_DEBUG"):
                raise error
            words = f"Something is wrong in Holdtrue itself ({type(error).__name__}: {error})."
            return _told(f"{words}\nRun it again with --debug and report what it prints.", 1, as_json)


def hear_interrupts() -> None:
    """Lose no Ctrl-C: where it falls, others may drop it or make another error of it."""

    def stop(number: int, frame: FrameType | None) -> None:
        STOPPED.set()
        if _imports(frame):  # C code whose import is broken off prints a traceback by itself, or makes another error
            _ask_again()
            return
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    sys.unraisablehook = _heard_again


def misused(error: Exception, *, as_json: bool) -> int:
    """Tell what the parser of the command line refused; raises anything else again."""
    show, words = getattr(error, "show", None), getattr(error, "format_message", None)
    if show is None or words is None:
        raise error
    show()
    code = int(getattr(error, "exit_code", 2))
    if as_json:
        print(json.dumps({"error": {"what": words()}, "exit_code": code}))
    return code


def _heard_again(lost: "sys.UnraisableHookArgs") -> None:
    """Ask once more for an interrupt that came where Python can only drop it, such as in a finaliser."""
    if lost.exc_type is KeyboardInterrupt:
        _ask_again()
    else:
        sys.__unraisablehook__(lost)


def _ask_again() -> None:
    threading.Timer(0.05, _thread.interrupt_main).start()


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _disk(error: OSError) -> str:
    named = error.filename2 or error.filename  # of a move, where it should have gone
    place = Path(str(named)) if named else None
    if place is not None and place.name.startswith((".tmp-", "tmp")):
        place = place.parent  # people know the folder; the file was ours
    where = f" at {place}" if place else ""
    if error.errno in ROOM:
        return f"Writing stopped{where}: {ROOM[error.errno]}.\nMake room and run again; nothing is half-written."
    if isinstance(error, PermissionError):
        elsewhere = ", or set HOLDTRUE_HOME to another folder" if ".holdtrue" in where else ""
        return f"Permission was refused{where}.\nGive this user the right to it{elsewhere}."
    return f"The system refused{where}: {error.strerror or error}."


def _told(message: str, code: int, as_json: bool, **parts: object) -> int:
    if as_json:
        print(json.dumps({"error": parts or {"what": message}, "exit_code": code}, default=list))
    print(message, file=sys.stderr)
    return code
