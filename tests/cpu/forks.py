"""What a forked child answers."""

from __future__ import annotations

import os
import pickle
import select
import signal
from typing import Any, Callable

import pytest

TIMEOUT = 8


def forked(check: Callable[[], Any]) -> Any:
    """Return what a forked child returns; one that hangs is killed, and a failure."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                answer = pickle.dumps(check())
            except BaseException as error:
                answer = pickle.dumps(error)
            os.write(writer, answer)
        finally:
            os._exit(0)
    os.close(writer)
    try:
        with open(reader, "rb") as answers:
            if not select.select([reader], [], [], TIMEOUT)[0]:
                os.kill(pid, signal.SIGKILL)
                pytest.fail(f"the child hangs for {TIMEOUT} s")
            answer = pickle.loads(answers.read())
    finally:
        os.waitpid(pid, 0)
    if isinstance(answer, BaseException):
        raise answer
    return answer
