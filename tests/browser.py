"""A headless Chromium, driven through its DevTools protocol over a pipe; needs no library."""

import base64
import json
import os
import shutil
import subprocess
import time
from itertools import count
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-headless-shell", "google-chrome", "chromium-browser", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Enter": 13, "Escape": 27}


class Browser:
    """A browser with one page, to be used in a with statement."""

    def __init__(self, profile: Path) -> None:
        self.profile, self.numbers = profile, count(1)
        self.errors: list[str] = []
        """What scripts threw, and what the page's policy forbade."""

    def __enter__(self) -> "Browser":
        theirs_in, self.output = os.pipe()
        ours_in, theirs_out = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        words = [str(BROWSER), *options, f"--user-data-dir={self.profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *words],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.input = os.fdopen(ours_in, "rb")
        self.session = ""
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.input.close()
        os.close(self.output)

    def send(self, method: str, **params: Any) -> Any:
        """Send a command, wait for its answer, note errors on the way."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != number:
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> Any:
        text = bytearray()
        while (byte := self.input.read(1)) != b"\0":
            assert byte, "the browser has ended"
            text += byte
        return json.loads(text)

    def open(self, path: Path) -> None:
        self.run("document.left = true")  # what answers may still be the page before
        self.send("Page.navigate", url=path.resolve().as_uri())
        while self.run("document.left || document.readyState") != "complete":
            time.sleep(0.01)

    def run(self, script: str) -> Any:
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str) -> None:
        code = KEYS.get(key, ord(key[0].upper()))
        text = {} if key in KEYS else {"text": key}
        for kind in ("keyDown", "keyUp"):
            extra = text if kind == "keyDown" else {}
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra
            )

    def picture(self, path: Path, width: int, height: int, scheme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
