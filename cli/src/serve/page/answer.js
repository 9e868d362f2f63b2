// An answer on the page: its tokens as they come, what is known of it at the end, and its buttons.
const answers = (() => {
  const { byId, element, fixed, strip } = shared;
  const MOST_SHOWN = 16;
  const STANDS_FOR = { " ": "\u2423", "\n": "\u21b5", "\t": "\u21e5" };

  // Text with its white space and control characters made visible, cut where it gets long.
  function visible(text) {
    const characters = [...text];
    const shown = characters.slice(0, MOST_SHOWN).map((c) =>
      STANDS_FOR[c] ?? (/\p{Cc}/u.test(c) ? `\\u{${c.codePointAt(0).toString(16)}}` : c));
    return shown.join("") + (characters.length > MOST_SHOWN ? "\u2026" : "");
  }

  // The server's record of a token as a step of the shared script.
  function step(record) {
    const lists = [record.top_plain, record.top_instructed, record.top_steered].map((list) => list ?? null);
    const own = lists.flatMap((list) => list ?? []).find(([token]) => token === record.token);
    const text = record.text || own?.[1];
    return {
      step: record.step,
      token: record.token,
      text: record.text,
      shown: text ? visible(text) : `#${record.token}`,
      js: record.js,
      temperature: record.temperature,
      guidance: record.guidance,
      logprobs: [record.logprob_plain, record.logprob_instructed],
      top: lists.map((list) => list && list.map(([token, text, logprob]) => [token, visible(text), logprob])),
    };
  }

  const announce = (text) => { byId("announcement").textContent = text; };

  async function copy(text) {
    // The clipboard is there on safe origins only: https, or this machine.
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.body.appendChild(element("textarea", { value: text, className: "unseen" }));
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  const ENDS = { length: "cut at the limit", context_full: "cut: the context is full", cancelled: "cancelled" };

  // What is known at the end: the server's objects `sda` and `timings`.
  function facts(count, sda, timings) {
    const parts = [`${count} tokens`];
    if (typeof sda.mean_js === "number") parts.push(`mean JS ${fixed(sda.mean_js, 3)} nats`);
    if (timings?.predicted_per_second) parts.push(`${fixed(timings.predicted_per_second, 1)} tokens/s`);
    if (typeof sda.guidance === "number") parts.push(`guidance ${fixed(sda.guidance, 2)}`);
    if (typeof sda.score === "number") parts.push(`score ${fixed(sda.score, 1)}`);
    if (sda.judge_error) parts.push(`no score: ${sda.judge_error}`);
    if (ENDS[sda.finish]) parts.push(ENDS[sda.finish]);
    return parts.join(" \u00b7 ");
  }

  // A column for an answer of an arm; `turn` names its group of radio buttons.
  function make(arm, turn, isAlone) {
    const name = arm[0].toUpperCase() + arm.slice(1);
    let guidance = null;
    let count = 0;
    // Tokens whose text is not complete, or not known to be reasoning or not.
    let waiting = [];

    const box = (label) => {
      const made = element("div", { className: "tokens" });
      // One thing to a screen reader, which reads the text below instead of a button for every token.
      made.setAttribute("role", "listbox");
      made.setAttribute("aria-label", `${label}, token by token: arrow keys move`);
      made.setAttribute("aria-busy", "true");
      return made;
    };
    const part = (label) => {
      const tokens = box(label);
      const run = strip(tokens, { role: "option", none: "No top tokens.", full: () => guidance });
      return { tokens, run, text: "" };
    };
    const [content, reasoning] = [part(`${name} answer`), part(`Reasoning of the ${arm} answer`)];
    const [stage, told, wrong, read, thought] = ["stage", "facts", "wrong", "unseen", "unseen"].map((className) =>
      element("p", { className }));
    stage.textContent = "waiting\u2026";
    const details = element("details", { className: "reasoning", hidden: true },
      element("summary", { textContent: "Reasoning" }), reasoning.tokens, thought);
    const pick = element("input", { type: "radio", name: `turn-${turn}`, value: arm });
    const copies = element("button", { type: "button", textContent: "Copy" });
    copies.setAttribute("aria-label", `Copy the ${arm} answer`);
    copies.addEventListener("click", () => copy(content.text.trim()).then(() => announce("Copied.")));
    const goesOn = element("label", { hidden: isAlone }, pick, " continue from this");
    const buttons = element("div", { className: "line", hidden: true }, copies, goesOn);
    const heading = element("h3", { textContent: name });
    const column = element("article", { className: `answer ${arm}` },
      heading, details, content.tokens, read, stage, wrong, told, buttons);
    column.setAttribute("aria-label", `${name} answer`);
    column.style.setProperty("--branch", `var(--${arm})`);

    // Text that is complete, with the record of the token that completed it.
    function put(part, text, record) {
      if (!text && !record) return;
      if (record) {
        waiting.forEach((each) => part.run.add(each, ""));
        waiting = [];
        part.run.add(record, text);
      } else {
        part.tokens.append(text);
      }
      part.text += text;
    }

    // An event of the stream; true for the last one.
    function take(event) {
      if (event.comment !== undefined) {
        const said = event.comment.match(/^sda (.+)/)?.[1];
        if (said && said !== arm) stage.textContent = `${said}\u2026`;
        return false;
      }
      const choice = event.choices?.[0];
      if (!choice) return false;
      const { content: said = "", reasoning_content: thinks = "" } = choice.delta ?? {};
      const record = event.sda?.token && step(event.sda.token);
      if (record) count += 1;
      if (thinks) details.hidden = false;
      put(reasoning, thinks, said || !thinks ? null : record);
      if (said) put(content, said, record);
      else if (record && !thinks) waiting.push(record);
      if (count) stage.textContent = "";
      if (!choice.finish_reason) return false;
      guidance = event.sda?.guidance ?? null;
      told.textContent = facts(count, event.sda ?? {}, event.timings);
      return true;
    }

    // After the last event; in place of it with the problem there was, or with null if the user stopped it.
    function end(problem) {
      waiting.forEach((each) => content.run.add(each, ""));
      waiting = [];
      stage.textContent = "";
      wrong.textContent = problem?.message ?? "";
      for (const [each, copy] of [[content, read], [reasoning, thought]]) {
        each.run.mark();
        each.tokens.removeAttribute("aria-busy");
        copy.textContent = each.text;
      }
      if (problem !== undefined) told.textContent = `${count} tokens${problem ? "" : " \u00b7 stopped"}`;
      buttons.hidden = content.text.trim() === "";
    }

    return { arm, name, column, pick, take, end, text: () => content.text.trim() };
  }

  return { make, announce };
})();
