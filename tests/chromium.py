"""A headless Chromium that is driven over a pipe by its DevTools protocol; no driver is needed."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
# The browser wants the pipe's ends at 3 and 4, whatever their numbers are here.
_START = (
    "import os, sys; ends = [os.dup(os.dup(os.dup(int(end)))) for end in sys.argv[1:3]]; "
    "os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_PATIENCE = 120.0  # seconds; a machine may be busy


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Navigated(AssertionError):
    """The page was replaced by another one in the middle of a call."""


class Page:
    """One tab; ``events`` keeps all that the browser told."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") != self._number:
                self.events.append(answer)
            elif "error" in answer:
                gone = "navigated" in answer["error"]["message"]
                raise (Navigated if gone else AssertionError)(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._rest:
            chunk = os.read(self._in, 1 << 16)
            assert chunk, "the browser has ended"
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, path: Path) -> None:
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + _PATIENCE
        loaded = "document.readyState === 'complete' && location.href !== 'about:blank'"
        while not self.js(loaded):
            assert time.monotonic() < deadline, "the page does not load"

    def js(self, expression: str) -> object:
        try:
            found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        except Navigated:  # another page came while it was asked
            return self.js(expression)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settle(self) -> None:
        """Wait until what was done is drawn, and the page was told."""
        frame = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.call("Runtime.evaluate", expression=frame, awaitPromise=True)

    def press(self, key: str, code: str | None = None, text: str = "") -> None:
        virtual = {"Tab": 9, "Enter": 13, " ": 32}.get(key, 0)
        common = {"key": key, "code": code or key, "windowsVirtualKeyCode": virtual}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as a mouse does."""
        place = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        where = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **where)

    def size(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def media(self, media: str = "", **features: str) -> None:
        told = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=told)
        self.settle()

    def shoot(self, path: Path, clip: dict | None = None) -> None:
        more = {} if clip is None else {"clip": {**clip, "scale": 1}, "captureBeyondViewport": True}
        shot = self.call("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """Give what the console got: errors, warnings, violated policies, dialogs."""
        self.js("1")  # what is on its way comes before the answer
        kinds = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
        kinds |= {"Page.javascriptDialogOpening"}
        return [json.dumps(each) for each in self.events if each.get("method") in kinds]

    def requests(self) -> list[str]:
        self.js("1")
        return [
            each["params"]["request"]["url"]
            for each in self.events
            if each.get("method") == "Network.requestWillBeSent"
        ]


@contextlib.contextmanager
def browser(path: str) -> Iterator[Page]:
    """Start a browser with a profile of its own; it is gone afterwards."""
    for_browser, to_browser = os.pipe()
    from_browser, by_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(sys.executable, "-c", _START, str(for_browser), str(by_browser), path),
            *(*_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"),
        ]
        process = subprocess.Popen(
            command,
            pass_fds=(for_browser, by_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(for_browser)
        os.close(by_browser)
        try:
            page = Page(to_browser, from_browser)
            yield page
        finally:
            os.close(to_browser)
            os.close(from_browser)
            process.kill()
            process.wait()
