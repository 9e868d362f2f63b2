"""A server for the page of `sda serve` that does what the real one does not do on demand."""

import json
from http.server import BaseHTTPRequestHandler

HOSTILE = "</script><script>document.title = 'broken out'</script><b>bold</b>"
KEY = "sk-webui-test"


class FakeServer(BaseHTTPRequestHandler):
    """Serves the page as the real server does; it wants a key, and its model says evil things."""

    page, policy = "", ""
    breaks = False

    def log_message(self, *_):
        pass

    def reply(self, status, kind, body, **headers):
        self.send_response(status)
        for name, value in {"content-type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self):
        if self.path == "/":
            return self.reply(200, "text/html; charset=utf-8", self.page, **{"content-security-policy": self.policy})
        # It has no /props.
        return self.reply(404, "application/json", "{}")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != f"Bearer {KEY}":
            error = {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}}
            return self.reply(401, "application/json", json.dumps(error))
        if self.breaks and "guidance" in body["sda"] and body["sda"]["guidance"] != 1:
            events = [self.piece(0, content="Half"), {"error": {"message": "the engine has stopped", "code": 500}}]
        else:
            events = [
                self.piece(0, "<think>"), self.piece(1, reasoning_content="I am "), self.piece(2, reasoning_content="evil."),
                self.piece(3, "</think>"), self.piece(4, content=HOSTILE), self.piece(5), self.piece(6, content="\u00e4"),
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "sda": {"finish": "eog", "guidance": 2.0}},
            ]  # fmt: skip
        lines = [": sda drafting\n\n", *(f"data: {json.dumps(event)}\n\n" for event in events)]
        self.reply(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]))

    @staticmethod
    def piece(step, text="", **delta):
        record = {
            "step": step, "token": step, "text": text or "".join(delta.values()), "js": 0.01 * step, "temperature": 0.6,
            "guidance": 1.5 if step == 4 else 2.0, "logprob_plain": -1.0, "logprob_instructed": -1.0,
            "top_plain": [[7, HOSTILE, -0.5]], "top_instructed": [[5, "\\xC3", -0.5]], "top_steered": None,
        }  # fmt: skip
        return {"choices": [{"index": 0, "delta": {"content": "", **delta}, "finish_reason": None}], "sda": {"token": record}}
