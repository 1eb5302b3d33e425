"""Chromium, for tests of pages: what a page becomes, and a page that is used as a person does."""

from __future__ import annotations

import base64
import html
import itertools
import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
NO_CHROMIUM = "no Chromium to look at the page with"
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    "--disable-background-networking",
)
_SECONDS = 300
_KEYS = {"Tab": 9, "Enter": 13, " ": 32}


def browse(page: Path, profile: Path, options: Sequence[str] = ()) -> str:
    """The title of a page after its scripts ran."""
    command = [
        str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", "--dump-dom", *options,
        page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found, done.stderr
    return html.unescape(found[1])


class Browser:
    """A browser that is told what to do over a pipe (Chrome DevTools Protocol)."""

    def __init__(self, profile: Path, *options: str) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        self._numbers = itertools.count(1)
        self._read = b""
        self.events: list[dict[str, Any]] = []
        # Chromium reads from descriptor 3 and writes to 4.
        script = f'exec "$@" 3<&{commands} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}",
             "--remote-debugging-pipe", *options, "about:blank"],
            pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + _SECONDS
        while True:
            while b"\0" not in self._read:
                ready, _, _ = select.select([self._answers], [], [], until - time.monotonic())
                assert ready, f"no answer to {method}"
                piece = os.read(self._answers, 1 << 20)
                assert piece, "the browser has ended"
                self._read += piece
            text, _, self._read = self._read.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") != number:
                self.events.append(answer)
                continue
            assert "error" not in answer, (method, answer)
            result: dict[str, Any] = answer["result"]
            return result

    def page(self, url: str, *, width: int = 1200, height: int = 800, dark: bool = False) -> Page:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "DOM"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=url)
        page.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)


class Page:
    """One page of a browser."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, as JSON."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True, userGesture=True)  # fmt: skip
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true, and give it."""
        end = time.monotonic() + _SECONDS
        while not (value := self.value(expression)):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.1)
        return value

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files in an input, as its dialog does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drop(self, x: int, y: int, *files: Path) -> None:
        """Drop files at a place of the window."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def key(self, name: str) -> None:
        """Press a key."""
        text = {"Enter": "\r", " ": " "}.get(name, "")
        about = {"key": name, "code": "Space" if name == " " else name,
                 "windowsVirtualKeyCode": _KEYS[name]}  # fmt: skip
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self.call("Input.insertText", text=text)

    def problems(self) -> list[str]:
        """What the console tells as warnings and errors, such as what a policy has blocked."""
        self.value("0")  # what came before is here by then
        entries = [
            event["params"]["entry"]
            for event in self._browser.events
            if event["method"] == "Log.entryAdded" and event.get("sessionId") == self._session
        ]
        thrown = [
            str(event["params"])
            for event in self._browser.events
            if event["method"] == "Runtime.exceptionThrown"
            and event.get("sessionId") == self._session
        ]
        told = [
            f"{one['text']} {one.get('url', '')}" for one in entries if one["level"] != "verbose"
        ]
        return told + thrown

    def screenshot(self, file: Path) -> None:
        """Save the whole page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)
