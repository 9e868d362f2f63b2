"use strict";
// What the pages share. A model's text may be anything: it only ever becomes text nodes and attributes, never markup.
//
// A step is a token as the pages show it: { step, token, text, shown, js, temperature, guidance, logprobs, top }, where
// shown is a short name, logprobs has the plain and the instructed one, and top has a list of [token, text, logprob]
// for each of BRANCHES. What has no value is null.
const shared = (() => {
  const byId = (id) => document.getElementById(id);
  const MOST = Math.LN2;
  const BRANCHES = ["plain", "instructed", "steered"];

  const element = (name, properties = {}, ...children) => {
    const made = document.createElement(name);
    Object.assign(made, properties);
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

  function theme() {
    const set = (isDark) => {
      document.documentElement.dataset.theme = isDark ? "dark" : "light";
      byId("theme").setAttribute("aria-pressed", String(isDark));
    };
    byId("theme").addEventListener("click", () => set(document.documentElement.dataset.theme !== "dark"));
    set(window.matchMedia("(prefers-color-scheme: dark)").matches);
  }

  // The strength at this token is less than the answer's: a KL budget was spent.
  const isWeakened = (step, full) =>
    step.guidance !== null && typeof full === "number" && Math.abs(step.guidance - full) > 1e-6;

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

  // What the tooltip says of a step.
  function described(step, full, none) {
    const facts = [
      ["step", String(step.step)],
      ["token", String(step.token)],
      ["JS", `${fixed(step.js, 4)} nats`],
      ["T", fixed(step.temperature, 3)],
      ["\u03b3", fixed(step.guidance, 2) + (isWeakened(step, full) ? ` of ${fixed(full, 2)}` : "")],
      ["log-prob plain", fixed(step.logprobs[0], 3)],
      ["log-prob instructed", fixed(step.logprobs[1], 3)],
    ].map(([name, value]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
    const lists = BRANCHES.flatMap((name, i) => (step.top[i] ? [list(name, step.top[i], step.token)] : []));
    return [
      element("h2", { textContent: step.shown }),
      element("dl", {}, ...facts),
      lists.length ? element("div", { className: "lists" }, ...lists) : element("p", { textContent: none }),
    ];
  }

  // The tooltip, and the token that it is about.
  const tip = byId("tip");
  let current = null;

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

  function hide() {
    tip.hidden = true;
    if (!current) return;
    const { token, pointed } = current;
    current = null;
    token.classList.remove("current");
    token.removeAttribute("aria-describedby");
    pointed(null);
  }
  window.addEventListener("resize", hide);

  // Tokens in a box, of which one is a stop for Tab; arrow keys and the pointer lead to the others.
  //   role     what a token is to a screen reader
  //   none     what the tooltip says if a step has no top tokens
  //   full     tells the guidance of the answer, from which a budget may take some away
  //   pointed  is told the place of the token that the tooltip is about; null if there is none
  function strip(box, { role, none, full, pointed = () => {} }) {
    let steps = [];
    let tokens = [];

    function add(step, text = step.text) {
      const isPartial = text === "";
      // A line end alone would leave nothing to point at.
      const shown = isPartial ? step.shown : text.replaceAll("\n", "\u21b5\n");
      // Not a real button: that would be a box, and a line end inside it would not break the line.
      const token = element("span", { className: "token", textContent: shown });
      token.setAttribute("role", role);
      token.classList.toggle("partial", isPartial);
      token.tabIndex = tokens.length === 0 ? 0 : -1;
      token.dataset.step = tokens.length;
      steps.push(step);
      tokens.push(heat(token, step.js));
      box.append(token);
    }

    // Marks the weakened tokens, once the guidance of the answer is known.
    function mark() {
      tokens.forEach((token, n) => token.classList.toggle("weakened", isWeakened(steps[n], full())));
    }

    function clear() {
      hide();
      [steps, tokens] = [[], []];
      box.replaceChildren();
    }

    function point(n) {
      hide();
      current = { token: tokens[n], pointed };
      tip.replaceChildren(...described(steps[n], full(), none));
      tokens[n].classList.add("current");
      tokens[n].setAttribute("aria-describedby", "tip");
      place(tokens[n]);
      pointed(n);
    }

    const tokenOf = (event) => event.target.closest?.(".token");
    box.addEventListener("pointerover", (event) => {
      const token = tokenOf(event);
      if (token) point(Number(token.dataset.step));
    });
    box.addEventListener("pointerleave", (event) => {
      // A finger leaves when it is lifted; what it pointed at stays.
      if (event.pointerType === "mouse" && !document.activeElement?.matches(".token.current")) hide();
    });
    box.addEventListener("click", (event) => tokenOf(event)?.focus());
    box.addEventListener("focusin", (event) => {
      const token = tokenOf(event);
      if (!token) return;
      for (const other of box.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
      token.tabIndex = 0;
      point(Number(token.dataset.step));
    });
    box.addEventListener("focusout", hide);
    box.addEventListener("keydown", (event) => {
      const token = tokenOf(event);
      if (!token) return;
      const n = Number(token.dataset.step);
      const to = { ArrowLeft: n - 1, ArrowRight: n + 1, Home: 0, End: tokens.length - 1 }[event.key];
      if (event.key === "Escape") hide();
      if (to === undefined || !tokens[to]) return;
      event.preventDefault();
      tokens[to].focus();
    });

    return { add, mark, clear, point };
  }

  return { byId, element, fixed, legend, theme, isWeakened, strip, hide };
})();
