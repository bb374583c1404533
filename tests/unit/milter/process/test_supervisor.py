"""The supervision of children by the parent, with faulty children and limits of fractions of a second."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stopit_core.daemon.logs import open_log
from stopit_core.daemon.systemd import Notify
from stopit_lab.waiting import until
from stopit_milter.process.control import ChildControl, ChildStatus, ControlMessage, ParentControl, fork
from stopit_milter.process.supervisor import Limits, Role, Supervisor

QUICK = Limits(settled=0.1, pause=0.05, longest_pause=0.2, stop=2.0, tick=0.02)
SOON_HUNG = replace(QUICK, silence=0.5)


class Watched:
    """A supervisor in a process of its own, because it takes the process's signals."""

    def __init__(
        self,
        *roles: Role,
        intact: bool = True,
        watchdog: bool = False,
        limits: Limits = QUICK,
        directory: Path,
    ) -> None:
        self.log = directory / "log"
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(directory / "notify"))
        self._channel.setblocking(False)
        environ = {"NOTIFY_SOCKET": str(directory / "notify")}
        if watchdog:
            environ["WATCHDOG_USEC"] = "300000"

        def run(control: ChildControl) -> int:
            with self.log.open("w", buffering=1) as stream:
                log = open_log("test", stream)
                return Supervisor(roles, lambda: True, lambda: intact, Notify(environ), log, limits).run()

        self.control: ParentControl = fork(run, [])
        self.told: list[str] = []

    def heard(self, word: str) -> bool:
        """Return whether the service manager got this state."""
        try:
            while True:
                self.told += self._channel.recv(4096).decode().split("\n")
        except BlockingIOError:
            return word in self.told

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.control.pid, number)

    def code(self) -> int:
        """Wait for its end, and return the exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.control.pid, 0)[1])

    def close(self) -> None:
        self._channel.close()
        self.control.close()


def good(control: ChildControl) -> int:
    control.report(ChildStatus.READY)
    control.listen(lambda _order: None)
    return 0


def counting(file: Path, then: Callable[[ChildControl], int]) -> Callable[[ChildControl], int]:
    """Return a child that writes a mark to a file each time it is started."""

    def run(control: ChildControl) -> int:
        with file.open("a") as marks:
            marks.write("x")
        return then(control)

    return run


def starts(file: Path) -> int:
    return len(file.read_text()) if file.exists() else 0


def test_ready_when_all_are_and_an_orderly_end(tmp_path: Path) -> None:
    watched = Watched(Role("a", good), Role("b", good), directory=tmp_path)
    until(lambda: watched.heard("READY=1"), "READY")
    watched.signal(signal.SIGTERM)
    assert watched.code() == 0
    assert watched.heard("STOPPING=1")
    watched.close()


def test_not_ready_while_one_is_not(tmp_path: Path) -> None:
    def never(_line: ChildControl) -> int:
        time.sleep(60)
        return 0

    watched = Watched(Role("a", good), Role("b", never), directory=tmp_path)
    time.sleep(0.2)
    assert not watched.heard("READY=1")
    watched.signal(signal.SIGTERM)
    assert watched.code() == 0
    watched.close()


def test_a_child_that_cannot_start_is_a_failed_start(tmp_path: Path) -> None:
    watched = Watched(Role("a", good), Role("b", lambda _line: 1), directory=tmp_path)
    assert watched.code() == 1
    assert "could not be started" in watched.log.read_text()
    watched.close()


def test_a_silent_child_is_killed_and_started_again(tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    def hang(control: ChildControl) -> int:
        control.report(ChildStatus.READY)
        time.sleep(60)
        return 0

    watched = Watched(Role("a", good), Role("b", counting(marks, hang)), limits=SOON_HUNG, directory=tmp_path)
    until(lambda: starts(marks) >= 2, "another start")
    assert "hangs" in watched.log.read_text()
    watched.signal(signal.SIGTERM)
    assert watched.code() == 0
    watched.close()


def test_one_that_ends_at_once_is_started_after_growing_pauses(tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    def end(control: ChildControl) -> int:
        control.report(ChildStatus.READY)
        if starts(marks) == 1:
            time.sleep(0.2)  # so that everything was ready once
        return 3

    watched = Watched(Role("a", good), Role("b", counting(marks, end)), directory=tmp_path)
    until(lambda: watched.heard("READY=1"), "READY")
    until(lambda: starts(marks) >= 4, "more starts")
    began, first = time.monotonic(), starts(marks)
    until(lambda: starts(marks) >= first + 3, "more starts")
    assert time.monotonic() - began > 0.3
    watched.signal(signal.SIGTERM)
    assert watched.code() == 0
    watched.close()


def test_without_its_socket_it_exits_for_a_restart(tmp_path: Path) -> None:
    def end_later(control: ChildControl) -> int:
        control.report(ChildStatus.READY)
        time.sleep(0.2)
        return 0

    watched = Watched(Role("a", end_later), intact=False, directory=tmp_path)
    assert watched.code() == 1
    assert "socket is gone" in watched.log.read_text()
    watched.close()


def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    def stubborn(control: ChildControl) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return good(control)

    watched = Watched(Role("a", stubborn), directory=tmp_path)
    until(lambda: watched.heard("READY=1"), "READY")
    began = time.monotonic()
    watched.signal(signal.SIGTERM)
    assert watched.code() == 0
    assert 1.5 < time.monotonic() - began < 10
    assert watched.log.read_text().count("did not end in time") == 1
    watched.close()


def test_the_watchdog_is_notified_only_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    fed = Watched(Role("a", good), watchdog=True, directory=tmp_path / "with")
    plain = Watched(Role("a", good), directory=tmp_path / "without")
    until(lambda: fed.heard("READY=1") and plain.heard("READY=1"), "READY")
    until(lambda: fed.heard("WATCHDOG=1"), "WATCHDOG")
    assert not plain.heard("WATCHDOG=1")
    for watched in (fed, plain):
        watched.signal(signal.SIGTERM)
        assert watched.code() == 0
        watched.close()


def test_a_reload_is_done_when_all_have_carried_it_out(tmp_path: Path) -> None:
    done = tmp_path / "done"

    def obedient(control: ChildControl) -> int:
        control.report(ChildStatus.READY)
        control.listen(lambda message: done.write_text(message.name) and None)
        return 0

    watched = Watched(Role("a", obedient), directory=tmp_path)
    until(lambda: watched.heard("READY=1"), "READY")
    watched.told.clear()
    watched.signal(signal.SIGHUP)
    until(lambda: watched.heard("READY=1"), "READY again")
    assert "RELOADING=1" in watched.told
    assert done.read_text() == "RELOAD"
    watched.signal(signal.SIGTERM)
    assert watched.code() == 0
    watched.close()


def test_one_that_is_due_for_a_restart_drains_once_its_successor_is_ready(tmp_path: Path) -> None:
    marks, drained = tmp_path / "marks", tmp_path / "drained"

    def due(control: ChildControl) -> int:
        control.report(ChildStatus.READY)
        if starts(marks) > 1:
            control.listen(lambda _order: None)
            return 0
        time.sleep(0.2)  # so that everything was ready once
        control.report(ChildStatus.RESTART_DUE)
        control.report(ChildStatus.RESTART_DUE)

        def handle(message: ControlMessage) -> None:
            drained.write_text(f"{message.name} {starts(marks)}")
            os._exit(0)

        control.listen(handle)
        return 1

    watched = Watched(Role("a", good), Role("b", counting(marks, due)), directory=tmp_path)
    until(drained.exists, "the first to drain")
    until(lambda: "drained" in watched.log.read_text(), "its end")
    assert drained.read_text() == "DRAIN 2"
    assert starts(marks) == 2
    assert "started again" not in watched.log.read_text()
    watched.signal(signal.SIGTERM)
    assert watched.code() == 0
    watched.close()


def test_a_childs_exception_never_runs_the_parents_frames(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_line: ChildControl) -> int:
        raise SystemExit(0)

    control = fork(fail, [])
    assert os.waitstatus_to_exitcode(os.waitpid(control.pid, 0)[1]) == 70
    assert "SystemExit" in capfd.readouterr().err
    assert control.statuses() == []
    control.close()
