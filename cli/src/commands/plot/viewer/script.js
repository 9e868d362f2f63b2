(() => {
  const { byId, element, fixed, isWeakened } = shared;
  const trace = JSON.parse(byId("data").textContent);
  const [chart, select] = ["chart", "answers"].map(byId);
  let answer = null;

  const drawing = (name, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const full = () => answer.summary?.guidance;
  const text = shared.strip(byId("text"), {
    role: "button",
    none: "No top tokens in this trace: write it with --trace-top 5.",
    full,
    pointed(n) {
      const cursor = chart.querySelector(".cursor");
      if (!cursor) return;
      if (n !== null) {
        cursor.setAttribute("x1", x(n));
        cursor.setAttribute("x2", x(n));
      }
      cursor.style.visibility = n === null ? "hidden" : "visible";
    },
  });

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
    const weakened = answer.steps.filter((step) => isWeakened(step, full())).length;
    if (weakened) {
      parts.push(`weakened at ${weakened} of ${answer.steps.length} tokens`);
    }
    byId("summary").textContent = parts.join(" \u00b7 ");
  }

  function show(number) {
    answer = trace.answers[number];
    text.clear();
    for (const step of answer.steps) text.add(step);
    text.mark();
    summary();
    plot();
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

  chart.addEventListener("pointermove", (event) => {
    const at = (event.offsetX - LEFT) / (wide - LEFT - 4);
    const count = answer.steps.length;
    text.point(Math.max(0, Math.min(count - 1, Math.floor(at * count))));
  });
  chart.addEventListener("pointerleave", shared.hide);
  window.addEventListener("resize", plot);

  byId("file").textContent = trace.name;
  document.title = `sda trace \u2013 ${trace.name}`;
  trace.answers.forEach((each, n) => {
    const start = each.steps.map((step) => step.text).join("").trim().slice(0, 40);
    select.append(element("option", { value: n, textContent: `${n + 1}: ${each.is_draft ? "draft" : each.arm}, ${start}` }));
  });
  byId("choice").hidden = trace.answers.length < 2;
  select.addEventListener("change", () => show(Number(select.value)));
  select.value = String(trace.first);
  shared.theme();
  shared.legend();
  show(trace.first);
})();
