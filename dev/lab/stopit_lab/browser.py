"""A headless browser: Chromium, controlled over the pipe of its DevTools protocol.

It opens pages at any width, reports their errors (exceptions, failed loads), and takes screenshots. Each start has a
new profile. It requests nothing from the network except the page that is opened.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stopit_lab.waiting import PATIENCE, TooLate, until

__all__ = ["Browser", "Page"]

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_FREE = 10
"""Descriptors are duplicated to this number or above, so that 3 and 4 are free."""


class Browser:
    """A Chromium. Its profile is removed when it ends."""

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="stopit-browser-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._to, self._from = -1, -1
        self._number = 0
        self._buffer = b""
        self._events: deque[dict[str, Any]] = deque()

    def __enter__(self) -> Self:
        its_in, self._to = _pipe()
        self._from, its_out = _pipe()
        log = self._profile / "chromium.log"
        command = ["bash", "-c", f'exec chromium "$@" 3<&{its_in} 4>&{its_out}', "bash", *_FLAGS]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, f"--user-data-dir={self._profile / 'profile'}", "about:blank"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(its_in, its_out),
                start_new_session=True,
                env={**os.environ, "HOME": str(self._profile)},
            )
        os.close(its_in)
        os.close(its_out)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def page(self, width: int, height: int, phone: bool = False) -> Page:
        """Open a new page of this size in pixels. `phone`: with touch, and two device pixels per pixel."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        size: dict[str, Any] = {
            "width": width,
            "height": height,
            "deviceScaleFactor": 2 if phone else 1,
            "mobile": phone,
        }
        page.call("Emulation.setDeviceMetricsOverride", **size)
        return page

    def call(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Send a command and return its result. Raises RuntimeError with the error of the browser."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") != self._number:
                self._events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return dict(answer["result"])

    def events(self, session: str) -> list[dict[str, Any]]:
        """Return the events of a page since the last call."""
        mine = [event for event in self._events if event.get("sessionId") == session]
        self._events = deque(event for event in self._events if event.get("sessionId") != session)
        return mine

    def _next(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TooLate(f"Chromium has not answered {method}")
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise RuntimeError(f"Chromium ended:\n{(self._profile / 'chromium.log').read_text()}")
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(text))


class Page:
    """A page of the browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._faults: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command for this page and return its result."""
        return self._browser.call(method, params, self._session)

    def open(self, url: str) -> None:
        """Navigate, and return when everything that the page refers to is loaded."""
        gone = self.call("Page.navigate", url=url)
        if "errorText" in gone:
            raise RuntimeError(f"{url}: {gone['errorText']}")
        until(lambda: self.evaluate("document.readyState") == "complete", f"{url} to be loaded")

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression on the page. Raises RuntimeError with its exception."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def faults(self) -> list[str]:
        """Return uncaught exceptions, errors on the console, and failed loads, since the page was opened."""
        for event in self._browser.events(self._session):
            params = event.get("params", {})
            match event["method"]:
                case "Runtime.exceptionThrown":
                    details = params["exceptionDetails"]
                    self._faults.append(details.get("exception", {}).get("description", details["text"]))
                case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                    self._faults.append(" ".join(str(value.get("value")) for value in params["args"]))
                case "Log.entryAdded" if params["entry"]["level"] == "error":
                    self._faults.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        return list(self._faults)

    def screenshot(self, whole: bool = True) -> bytes:
        """Return a screenshot as PNG, of the visible part or of the whole page."""
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(taken["data"])


def _pipe() -> tuple[int, int]:
    """Return a pipe, (reading, writing), whose ends are not among the first descriptors."""
    moved = []
    for end in os.pipe():
        moved.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FREE))
        os.close(end)
    return moved[0], moved[1]
