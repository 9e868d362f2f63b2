"use strict";
// The trace may hold any text: it only ever becomes text nodes and attributes, never markup.
(() => {
  const trace = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [text, tip, chart, select] = ["text", "tip", "chart", "answers"].map(byId);
  const MOST = Math.LN2;
  const BRANCHES = ["plain", "instructed", "steered"];
  let answer = null;
  let tokens = [];

  const element = (name, properties = {}, ...children) => {
    const made = document.createElement(name);
    Object.assign(made, properties);
    made.append(...children);
    return made;
  };
  const drawing = (name, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const signed = (text) => text.replace("-", "\u2212");
  const fixed = (value, digits) => (value === null ? "\u2013" : signed(value.toFixed(digits)));
  const percent = (logprob) => {
    const p = Math.exp(logprob) * 100;
    if (p >= 10) return p.toFixed(0) + " %";
    if (p >= 0.1) return p.toFixed(1) + " %";
    return (p >= 0.001 ? p.toFixed(3) : p.toExponential(0)) + " %";
  };
  // The root spreads the small divergences that most tokens have.
  const share = (js) => `${Math.round(Math.sqrt(Math.min(js / MOST, 1)) * 85)}%`;
  const heat = (element, js) => {
    if (js !== null) element.style.setProperty("--share", share(js));
    return element;
  };

  function legend() {
    const marks = [0, 0.01, 0.05, 0.2, MOST].map((js) =>
      heat(element("span", { className: "swatch", textContent: js === MOST ? "ln 2" : String(js) }), js));
    byId("legend").replaceChildren("Divergence JS in nats:", ...marks);
  }

  // The strength at this token is less than the answer's: a KL budget was spent.
  function isWeakened(step) {
    const full = answer.summary?.guidance;
    return step.guidance !== null && typeof full === "number" && Math.abs(step.guidance - full) > 1e-6;
  }

  function summary() {
    const end = answer.summary;
    const parts = [`${answer.steps.length} tokens`, `arm: ${answer.arm}${answer.is_draft ? ", a draft" : ""}`];
    const known = answer.steps.filter((step) => step.js !== null);
    if (known.length) {
      const mean = known.reduce((sum, step) => sum + step.js, 0) / known.length;
      parts.push(`mean JS ${fixed(mean, 3)} nats`);
    }
    const said = answer.judge;
    if (said) {
      const got = said.score === null
        ? `no score (${said.error})`
        : `score ${fixed(said.score, 2)}, spread ${fixed(said.judge.spread ?? null, 2)}`;
      parts.push(`judge ${said.judge.name}: ${got}`);
    }
    for (const name of [...(said ? [] : ["score"]), "guidance", "max_kl", "mean_kl", "seed", "finish"]) {
      if (end && end[name] !== undefined && end[name] !== null && end[name] !== "") {
        const value = end[name];
        parts.push(`${name} ${Number.isInteger(value) || typeof value !== "number" ? value : fixed(value, 2)}`);
      }
    }
    const weakened = answer.steps.filter(isWeakened).length;
    if (weakened) {
      parts.push(`weakened at ${weakened} of ${answer.steps.length} tokens`);
    }
    byId("summary").textContent = parts.join(" \u00b7 ");
  }

  function show(number) {
    answer = trace.answers[number];
    tokens = answer.steps.map((step, n) => {
      const isPartial = step.text === "";
      // A line end alone would leave nothing to point at.
      const shown = isPartial ? step.shown : step.text.replaceAll("\n", "\u21b5\n");
      // Not a real button: that would be a box, and a line end inside it would not break the line.
      const token = element("span", { className: "token", role: "button", textContent: shown });
      token.classList.toggle("partial", isPartial);
      token.classList.toggle("weakened", isWeakened(step));
      token.tabIndex = n === 0 ? 0 : -1;
      token.dataset.step = n;
      return heat(token, step.js);
    });
    text.replaceChildren(...tokens);
    hide();
    summary();
    plot();
  }

  function list(name, ranked, drawn) {
    const rows = ranked.map(([id, shown, logprob]) => {
      const head = element("th", { scope: "row", textContent: shown });
      head.style.setProperty("--share", `${Math.exp(logprob) * 100}%`);
      const row = element("tr", { className: id === drawn ? "drawn" : "" }, head,
        element("td", { textContent: percent(logprob), title: `log-probability ${fixed(logprob, 3)} nats` }));
      return row;
    });
    const table = element("table", { className: name },
      element("caption", { textContent: name }), element("tbody", {}, ...rows));
    table.style.setProperty("--branch", `var(--${name})`);
    return table;
  }

  function describe(step) {
    const facts = [
      ["step", String(step.step)],
      ["token", String(step.token)],
      ["JS", `${fixed(step.js, 4)} nats`],
      ["T", fixed(step.temperature, 3)],
      ["\u03b3", fixed(step.guidance, 2) + (isWeakened(step) ? ` of ${fixed(answer.summary.guidance, 2)}` : "")],
      ["log-prob plain", fixed(step.logprobs[0], 3)],
      ["log-prob instructed", fixed(step.logprobs[1], 3)],
    ].map(([name, value]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
    const lists = BRANCHES.flatMap((name, i) => (step.top[i] ? [list(name, step.top[i], step.token)] : []));
    const none = "No top tokens in this trace: write it with --trace-top 5.";
    tip.replaceChildren(
      element("h2", { textContent: step.shown }),
      element("dl", {}, ...facts),
      lists.length ? element("div", { className: "lists" }, ...lists) : element("p", { textContent: none }),
    );
  }

  function place(token) {
    tip.hidden = false;
    const at = token.getClientRects()[0] ?? token.getBoundingClientRect();
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const room = document.documentElement.clientWidth;
    const fitsBelow = at.bottom + height + 8 <= window.innerHeight || at.top < height + 8;
    const top = fitsBelow ? at.bottom + 6 : at.top - height - 6;
    tip.style.left = `${Math.max(8, Math.min(at.left, room - width - 8)) + window.scrollX}px`;
    tip.style.top = `${top + window.scrollY}px`;
  }

  function point(n) {
    hide();
    describe(answer.steps[n]);
    tokens[n].classList.add("current");
    tokens[n].setAttribute("aria-describedby", "tip");
    place(tokens[n]);
    const cursor = chart.querySelector(".cursor");
    if (cursor) {
      cursor.setAttribute("x1", x(n));
      cursor.setAttribute("x2", x(n));
      cursor.style.visibility = "visible";
    }
  }

  function hide() {
    tip.hidden = true;
    for (const token of text.querySelectorAll(".current")) {
      token.classList.remove("current");
      token.removeAttribute("aria-describedby");
    }
    const cursor = chart.querySelector(".cursor");
    if (cursor) cursor.style.visibility = "hidden";
  }

  // The chart, in units of its own size on the page.
  const LEFT = 44, BOTTOM = 20, TOP = 10;
  let wide = 900, high = 176;
  const x = (n) => LEFT + ((n + 0.5) / answer.steps.length) * (wide - LEFT - 4);

  function plot() {
    [wide, high] = [chart.clientWidth || wide, chart.clientHeight || high];
    chart.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    const known = answer.steps.map((step, n) => [n, step.js]).filter(([, js]) => js !== null);
    const most = Math.max(0.01, ...known.map(([, js]) => js));
    const y = (js) => high - BOTTOM - (js / most) * (high - BOTTOM - TOP);
    const label = (content, attributes) => drawing("text", attributes, content);
    const parts = [
      drawing("line", { class: "axis", x1: LEFT, x2: wide, y1: y(0), y2: y(0) }),
      drawing("line", { class: "axis", x1: LEFT, x2: LEFT, y1: y(most), y2: y(0) }),
      label("0", { x: LEFT - 5, y: y(0) + 4, "text-anchor": "end" }),
      label(most.toFixed(2), { x: LEFT - 5, y: y(most) + 8, "text-anchor": "end" }),
      label("JS, nats", { x: LEFT + 6, y: TOP + 8 }),
      label("step 0", { x: LEFT, y: high - 5 }),
      label(`step ${answer.steps.length - 1}`, { x: wide - 2, y: high - 5, "text-anchor": "end" }),
    ];
    if (known.length) {
      const points = known.map(([n, js]) => `${x(n).toFixed(1)},${y(js).toFixed(1)}`).join(" ");
      parts.push(drawing("polyline", { class: "line", points }));
    }
    parts.push(drawing("line", { class: "cursor", y1: TOP, y2: y(0), style: "visibility: hidden" }));
    chart.replaceChildren(...parts);
  }

  const tokenOf = (event) => event.target.closest?.(".token");
  text.addEventListener("pointerover", (event) => {
    const token = tokenOf(event);
    if (token) point(Number(token.dataset.step));
  });
  text.addEventListener("pointerleave", (event) => {
    // A finger leaves when it is lifted; what it pointed at stays.
    if (event.pointerType === "mouse" && document.activeElement?.className !== "token current") hide();
  });
  text.addEventListener("click", (event) => tokenOf(event)?.focus());
  text.addEventListener("focusin", (event) => {
    const token = tokenOf(event);
    if (!token) return;
    for (const other of text.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    token.tabIndex = 0;
    point(Number(token.dataset.step));
  });
  text.addEventListener("focusout", hide);
  text.addEventListener("keydown", (event) => {
    const token = tokenOf(event);
    if (!token) return;
    const n = Number(token.dataset.step);
    const to = { ArrowLeft: n - 1, ArrowRight: n + 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (event.key === "Escape") hide();
    if (to === undefined || !tokens[to]) return;
    event.preventDefault();
    tokens[to].focus();
  });
  chart.addEventListener("pointermove", (event) => {
    const at = (event.offsetX - LEFT) / (wide - LEFT - 4);
    point(Math.max(0, Math.min(tokens.length - 1, Math.floor(at * tokens.length))));
  });
  chart.addEventListener("pointerleave", hide);
  window.addEventListener("resize", () => { hide(); plot(); });

  const setTheme = (isDark) => {
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    byId("theme").setAttribute("aria-pressed", String(isDark));
  };
  byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches);

  byId("file").textContent = trace.name;
  document.title = `sda trace \u2013 ${trace.name}`;
  trace.answers.forEach((each, n) => {
    const start = each.steps.map((step) => step.text).join("").trim().slice(0, 40);
    select.append(element("option", { value: n, textContent: `${n + 1}: ${each.is_draft ? "draft" : each.arm}, ${start}` }));
  });
  byId("choice").hidden = trace.answers.length < 2;
  select.addEventListener("change", () => show(Number(select.value)));
  select.value = String(trace.first);
  legend();
  show(trace.first);
})();
