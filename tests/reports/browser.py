"""Headless Chromium, driven through its debugging pipe: what a page does and measures at a given width."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from select import select

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe")
WAIT = 60.0  # seconds for one answer; a machine under load starts slowly
HEARD = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Network.requestWillBeSent")


def find_chromium():
    """The path of a Chromium on this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab. Messages are JSON that ends in a zero byte: read by the browser from fd 3, answered on fd 4."""

    def __init__(self, ask, answer):
        self.ask, self.answer, self.rest, self.number = ask, answer, b"", 0
        self.events, self.session = [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.ask, json.dumps(message).encode() + b"\0")
        found = self._until(lambda said: said.get("id") == self.number)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    def open(self, path, width, *, height=900, dark=False, media=""):
        """Load a file at this width in CSS pixels; what the page did that it should not: console, errors, requests."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda said: said.get("method") == "Page.loadEventFired")
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return [said for said in self.events if said["method"] in HEARD and not self._is_own(said, path)]

    def value(self, script):
        """What an expression of JavaScript comes to on the page."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key):
        """One key down, then up."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode={"Tab": 9}[key])

    def picture(self, path):
        """The whole page as a PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _until(self, fits):
        while True:
            while b"\0" not in self.rest:
                assert select([self.answer], [], [], WAIT)[0], f"Chromium did not answer within {WAIT:g} s"
                more = os.read(self.answer, 1 << 20)
                assert more, "Chromium closed"
                self.rest += more
            line, _, self.rest = self.rest.partition(b"\0")
            said = json.loads(line)
            self.events += [said] if "method" in said else []
            if fits(said):
                return said

    @staticmethod
    def _is_own(said, path):
        url = said["params"].get("request", {}).get("url", "")
        return url.startswith("data:") or url.split("#")[0] == path.resolve().as_uri()


@contextmanager
def browser(executable, folder):
    """A Chromium with a profile of its own in the folder, gone at the end."""
    pipes = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for pair in (os.pipe(), os.pipe()) for end in pair]
    its_in, ask, answer, its_out = pipes

    def connect():
        os.dup2(its_in, 3)
        os.dup2(its_out, 4)

    process = subprocess.Popen(
        [executable, *FLAGS, f"--user-data-dir={folder}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(3, 4), preexec_fn=connect,
    )  # fmt: skip
    os.close(its_in)
    os.close(its_out)
    try:
        yield Browser(ask, answer)
    finally:
        process.kill()
        process.wait()
        os.close(ask)
        os.close(answer)
