"""A running `sda serve`, and requests to it that need nothing but the standard library."""

import contextlib
import http.client
import json
import re
import subprocess
import threading
import time


class Served:
    """`sda serve` on a free port. Use it as a context manager."""

    def __init__(self, sda, model, *options):
        command = [sda, "serve", "-m", model, "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.log = []
        self._address = threading.Event()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"listening on http://([^\s:]+):(\d+)", line)
            if found:
                self.host, self.port = found[1], int(found[2])
                self._address.set()

    def __enter__(self):
        try:
            if not self._address.wait(60):
                raise RuntimeError("no address: " + "".join(self.log))
            end = time.monotonic() + 300
            while self.get("/health")[0] != 200:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise RuntimeError("not ready: " + "".join(self.log))
                time.sleep(0.05)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join(10)

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def connect(self, timeout=600):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def get(self, path):
        with contextlib.closing(self.connect(10)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def post(self, path, body):
        """Status and JSON of a reply that is not streamed."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def stream(self, path, body):
        """The JSON events of a streamed reply, one by one. To drop the iterator closes the connection."""
        with contextlib.closing(self.connect()) as connection:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps({**body, "stream": True}), headers)
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"{response.status}: {response.read().decode()}")
            for line in response:
                if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                    yield json.loads(line[6:])

    def memory_mib(self):
        """Memory of its own that it holds now; the model's file is not among it."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s+(\d+)", status.read())[1]) / 1024

    def busy_slots(self):
        status, slots = self.get("/slots")
        assert status == 200, slots
        return [slot for slot in json.loads(slots) if slot["is_processing"]]

    def wait_until_idle(self, seconds=60):
        end = time.monotonic() + seconds
        while self.busy_slots():
            assert time.monotonic() < end, "a slot is still busy"
            time.sleep(0.05)
