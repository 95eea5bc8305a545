"""Chromium by the DevTools protocol over a pair of pipes: it needs nothing but Python's own library, and no port."""

import base64
import json
import os
import select
import subprocess
import tempfile
import time

PATIENCE_SECONDS = 30
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-extensions",
    "--force-color-profile=srgb", "--remote-debugging-pipe", "about:blank",
]


class Browser:
    """One tab of a Chromium with a profile of its own."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands_read, self.commands = os.pipe()
        self.answers, answers_write = os.pipe()
        # It reads commands from descriptor 3 and writes to 4. High numbers first, so that neither is overwritten.
        script = 'exec chromium "$@" 3<&{} 4>&{}'.format(commands_read, answers_write)
        arguments = [f"--user-data-dir={self.home.name}", *ARGUMENTS]
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", *arguments], pass_fds=(commands_read, answers_write),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(commands_read)
        os.close(answers_write)
        self.bytes = b""
        self.number = 0
        self.session = None
        self.events = []
        self.intercept = lambda request: None
        [target] = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.home.cleanup()

    def call(self, method, **params):
        """Sends a command and waits for its answer; events that come meanwhile are kept."""
        self.number += 1
        number = self.number
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.commands, data):]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.receive(deadline)
            assert answer is not None, f"no answer to {method}"
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def receive(self, deadline):
        """The next message; an event is kept, and given too. `None` at the deadline."""
        while b"\0" not in self.bytes:
            ready, _, _ = select.select([self.answers], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return None
            data = os.read(self.answers, 1 << 20)
            assert data, "chromium has ended"
            self.bytes += data
        text, self.bytes = self.bytes.split(b"\0", 1)
        message = json.loads(text)
        if "method" in message:
            self.events.append(message)
            if message["method"] == "Fetch.requestPaused":
                self.answer(message["params"])
        return message

    def answer(self, paused):
        """A request that the test answers in the server's place, or lets pass."""
        reply = self.intercept(paused["request"])
        if reply is None:
            self.send("Fetch.continueRequest", requestId=paused["requestId"])
            return
        status, body = reply
        headers = [{"name": "Content-Type", "value": "application/json"}]
        body = base64.b64encode(json.dumps(body).encode()).decode()
        answer = {"responseCode": status, "responseHeaders": headers, "body": body}
        self.send("Fetch.fulfillRequest", requestId=paused["requestId"], **answer)

    def send(self, method, **params):
        """As `call`, without waiting: from within `receive`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params, "sessionId": self.session}
        os.write(self.commands, json.dumps(message).encode() + b"\0")

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait(self, what, expression):
        """Waits until an expression is true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (value := self.evaluate(expression)):
            shown = self.evaluate("document.body?.innerText")
            assert time.monotonic() < deadline, f"still not so after {PATIENCE_SECONDS} s: {what}\n{shown}"
            # What comes meanwhile, requests to answer among it.
            self.receive(time.monotonic() + 0.05)
        return value

    def text(self):
        return self.evaluate("document.body.innerText")

    def key(self, key, modifiers=0):
        """Presses a key, by its name in the UI Events specification."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0])), "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def resize(self, width, height, is_phone):
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if is_phone else 1}
        self.call("Emulation.setDeviceMetricsOverride", mobile=is_phone, **size)

    def scheme(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def of(self, method):
        """Events of a kind so far."""
        return [event["params"] for event in self.events if event["method"] == method]
