"""
A real browser without a window, spoken to through two pipes (--remote-debugging-pipe).

    browser = Browser(folder)
    page = browser.open("http://127.0.0.1:9995/")
    page.wait("document.title === 'x'")     awaits that this is true in the page
    page.errors                             what the page has complained about
"""
import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium")
DEADLINE = 60  # it starts slowly on a busy machine


class Browser:
    def __init__(self, folder):
        to_read, self.writer = os.pipe()
        self.reader, to_write = os.pipe()
        self.numbers, self.rest, self.pages = itertools.count(1), b"", {}
        spare = [os.dup(each) for each in (to_read, to_write)]  # 3 and 4 may be these pipes themselves

        def place():
            high = [os.dup2(each, 100 + i) for i, each in enumerate(spare)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={folder}",
             "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--no-proxy-server", "--window-size=1280,1100"],
            preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        for each in (to_read, to_write, *spare):
            os.close(each)

    def receive(self, end):
        """The next message."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.reader], [], [], max(0, end - time.monotonic()))
            data = os.read(self.reader, 1 << 20) if ready else None
            assert data, "the browser has ended" if data == b"" else "the browser does not answer"
            self.rest += data
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, session=None, **parameters):
        number, end = next(self.numbers), time.monotonic() + DEADLINE
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        while True:
            got = self.receive(end)
            if got.get("id") == number:
                assert "error" not in got, f"{method}: {got['error']}"
                return got["result"]
            if page := self.pages.get(got.get("sessionId")):
                page.note(got["method"], got["params"])

    def open(self, address):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Runtime", "Log", "Page", "Network"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=address)
        page.wait("location.href !== 'about:blank' && document.readyState === 'complete'")
        return page

    def close(self):
        for each in (self.writer, self.reader):
            os.close(each)
        try:
            self.process.wait(DEADLINE)
        finally:
            try:
                os.killpg(self.process.pid, 9)
            except ProcessLookupError:
                pass
            self.process.wait()


class Page:
    def __init__(self, browser, session):
        self.browser, self.session, self.errors, self.requested = browser, session, [], []
        browser.pages[session] = self

    def note(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"]["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def get(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression):
        end = time.monotonic() + DEADLINE
        while not (value := self.get(expression)):
            assert time.monotonic() < end, f"never true: {expression}\n{self.get('document.body.innerText')}"
            time.sleep(0.05)
        return value

    def screenshot(self, path, **media):
        self.call("Emulation.setEmulatedMedia", features=[{"name": name.replace("_", "-"), "value": value}
                                                          for name, value in media.items()])
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
