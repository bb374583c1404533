"""The parent process: starts and supervises the children, and reports to the service manager.

It has no thread and opens no store, so that it can fork at any time (a fork after threads exist hangs). A child that
ends, or sends no status for some time, is started again; one that ends soon after its start, after growing pauses.
When a child ends before all were ready for the first time, the start has failed, and the parent exits.

A child may report that a restart is due. Then a successor is started; once that is ready, the first one gets DRAIN,
serves its open connections and ends with the last. Until then, no other successor is started in that role.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stopit_core.daemon.logs import Log
from stopit_core.daemon.systemd import Notify
from stopit_milter.process.control import (
    SIGNALS,
    WAKE,
    ChildControl,
    ChildStatus,
    ControlMessage,
    ParentControl,
    fork,
)

__all__ = ["Limits", "Role", "Supervisor"]

_FAILED = 1


@dataclass(frozen=True, slots=True)
class Role:
    """The work of a child, and its name in the log. `counts`: it gets WORKER_ENDED when another child ends."""

    name: str
    run: Callable[[ChildControl], int]
    handles_mail: bool = False
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Times, in seconds. A child without a status for `silence` is killed. One that lived for `settled` is started
    again at once, others after a pause that doubles from `pause` to `longest_pause`. An orderly stop may take `stop`.
    """

    silence: float = 30.0
    settled: float = 10.0
    pause: float = 1.0
    longest_pause: float = 30.0
    stop: float = 15.0
    tick: float = 1.0


class _Child:
    """One role, and its process, if there is one."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.control: ParentControl | None = None
        self.ready = False
        self.started = self.heard = self.due = 0.0
        self.pause = 0.0
        self.draining: ParentControl | None = None
        """The control pipe of the process that is draining, the one before `control`."""
        self.draining_heard = 0.0
        self.drain_sent = False

    @property
    def controls(self) -> tuple[ParentControl, ...]:
        """Return the control pipes of all processes of this role."""
        return tuple(control for control in (self.control, self.draining) if control)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of this role."""
        for control in self.controls:
            os.kill(control.pid, number)


class Supervisor:
    """Runs the roles until SIGTERM or SIGINT. `reload` is called at SIGHUP, and returns whether it succeeded.

    `intact` returns whether the service can still be reached; when not, the parent exits to be restarted.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        reload: Callable[[], bool],
        intact: Callable[[], bool],
        notify: Notify,
        log: Log,
        limits: Limits = Limits(),
    ) -> None:
        self._children = [_Child(role) for role in roles]
        self._reload = reload
        self._intact = intact
        self._notify = notify
        self._log = log
        self._limits = limits
        self._selector = selectors.DefaultSelector()
        self._signals, self._wakeup = socket.socketpair()
        self._settling = True  # not all children have finished the start or the reload
        self._was_ready = False
        self._ending: int | None = None
        self._alive_at = 0.0

    def run(self, stopping: Callable[[], None] = lambda: None) -> int:
        """Start everything, and supervise it until it is to end. Return the exit code.

        `stopping` is called before the children are stopped; no child is started after it.
        """
        self._catch_signals()
        for child in self._children:
            self._start(child)
        while self._ending is None:
            for key, _ in self._selector.select(self._limits.tick):
                if key.fileobj is self._signals:
                    self._take_signals()
                else:
                    self._receive(*key.data)
            self._reap()
            self._check_children()
        stopping()
        return self._stop(self._ending)

    def _catch_signals(self) -> None:
        self._signals.setblocking(False)
        self._wakeup.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._signals, selectors.EVENT_READ)

    def _take_signals(self) -> None:
        for number in self._signals.recv(256):
            match number:
                case signal.SIGTERM | signal.SIGINT:
                    self._ending = 0
                case signal.SIGHUP:
                    self._reload_all()

    def _start(self, child: _Child) -> None:
        others = [control for other in self._children for control in other.controls]
        child.control = fork(child.role.run, others)
        child.started = child.heard = time.monotonic()
        child.ready = False
        self._selector.register(child.control.end, selectors.EVENT_READ, (child, child.control))

    def _receive(self, child: _Child, control: ParentControl) -> None:
        statuses = control.statuses()
        if not statuses:  # the pipe is broken: the child is ending, and `_reap` will find it
            return
        if control is child.draining:
            child.draining_heard = time.monotonic()
            return
        child.heard = time.monotonic()
        if ChildStatus.READY in statuses and not child.ready:
            child.ready = True
            if child.draining and not child.drain_sent:
                child.draining.send(ControlMessage.DRAIN)
                child.drain_sent = True
        if ChildStatus.RESTART_DUE in statuses and self._was_ready and child.ready and not child.draining:
            self._log.info("restart due, starting a successor", child=child.role.name, pid=control.pid)
            child.draining, child.draining_heard, child.drain_sent = control, child.heard, False
            self._start(child)

    def _reap(self) -> None:
        """Wait for every child that has ended."""
        for child in self._children:
            for control in child.controls:
                pid, status = os.waitpid(control.pid, os.WNOHANG)
                if not pid:
                    continue
                self._selector.unregister(control.end)
                control.close()
                code = os.waitstatus_to_exitcode(status)
                if control is child.draining:
                    child.draining = None
                    self._log.info("drained", child=child.role.name, pid=pid, code=code)
                    continue
                child.control = None
                if self._ending is None:
                    self._ended(child, pid, code)

    def _ended(self, child: _Child, pid: int, code: int) -> None:
        """Handle a child that ended without being told to."""
        if not self._was_ready:
            self._log.error("could not be started", child=child.role.name, code=code)
            self._ending = _FAILED
            return
        self._log.error("ended, and will be started again", child=child.role.name, pid=pid, code=code)
        for other in self._children:
            if other.control and other.role.counts:
                other.control.send(ControlMessage.WORKER_ENDED)
        limits = self._limits
        now = time.monotonic()
        settled = now - child.started >= limits.settled
        child.pause = 0.0 if settled else min(max(limits.pause, child.pause * 2), limits.longest_pause)
        child.due = now + child.pause
        if not self._intact():
            self._log.error("the milter socket is gone; exiting for a restart")
            self._ending = _FAILED

    def _check_children(self) -> None:
        """Start children that are due, kill those that hang, and notify the service manager."""
        now = time.monotonic()
        for child in self._children:
            if child.control is None and self._was_ready and now >= child.due and self._ending is None:
                self._start(child)
            elif child.control and now - child.heard > self._limits.silence:
                self._log.error("hangs, and will be killed", child=child.role.name, pid=child.control.pid)
                os.kill(child.control.pid, signal.SIGKILL)
                child.heard = now
            if child.draining and now - child.draining_heard > self._limits.silence:
                self._log.error("hangs, and will be killed", child=child.role.name, pid=child.draining.pid)
                os.kill(child.draining.pid, signal.SIGKILL)
                child.draining_heard = now
        if self._ending is not None:
            return
        if self._settling and all(child.ready for child in self._children):
            self._settling, self._was_ready = False, True
            workers = sum(child.role.handles_mail for child in self._children)
            self._notify.ready(f"{workers} workers accept mail")
            self._log.info("ready", workers=workers)
        if self._notify.watchdog and now >= self._alive_at:
            self._notify.alive()
            self._alive_at = now + self._notify.watchdog / 3

    def _reload_all(self) -> None:
        self._notify.reloading()
        reloaded = self._reload()
        if reloaded:
            self._log.info("configuration reloaded")
        self._settling = True
        for child in self._children:
            child.ready = False
            for control in child.controls:
                control.send(ControlMessage.RELOAD if reloaded else ControlMessage.RELOAD_REFUSED)

    def _stop(self, code: int) -> int:
        self._notify.stopping()
        self._log.info("stopping")
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + self._limits.stop
        late = False
        while any(child.controls for child in self._children):
            if time.monotonic() >= deadline:
                if not late:
                    names = [child.role.name for child in self._children if child.controls]
                    self._log.error("did not end in time, and will be killed", child=", ".join(names))
                late = True
                self._signal_all(signal.SIGKILL)
            for child in self._children:
                if child.role.handles_mail:
                    child.signal(WAKE)  # again and again: the first may come before SIGTERM is noticed
            time.sleep(0.05)
            self._reap()
        return code

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children:
            child.signal(number)
