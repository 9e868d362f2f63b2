// Requests to the server that the page came from.
const api = (() => {
  // In memory only: gone with the page.
  let key = "";

  // Why a request has no answer, in the server's words where there are any.
  class Refusal extends Error {
    constructor(message, status, field) {
      super(message);
      this.status = status;
      this.field = field;
    }
  }
  const refusal = (error, status) => new Refusal(error?.message ?? `status ${status}`, status, error?.param ?? null);

  async function request(path, options = {}) {
    const headers = { ...options.headers };
    if (key) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal("The server cannot be reached.", 0, null);
    }
    if (response.ok) return response;
    const body = await response.json().catch(() => null);
    throw refusal(body?.error, response.status);
  }

  const props = async () => (await request("props")).json();

  // The events of a streamed answer: objects, and { comment } for what the server says beside them.
  async function* chat(body, signal) {
    const response = await request("v1/chat/completions", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read().catch((error) => {
        throw signal.aborted ? error : new Refusal("The connection broke.", 0, null);
      });
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith(":")) yield { comment: line.slice(1).trim() };
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        const event = JSON.parse(data);
        if (event.error) throw refusal(event.error, event.error.code);
        yield event;
      }
    }
  }

  return { props, chat, setKey: (text) => { key = text.trim(); } };
})();
