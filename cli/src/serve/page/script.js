// The conversation and the controls.
(() => {
  const { byId, element } = shared;
  const data = JSON.parse(byId("data").textContent);
  const [form, query, instruction, preset] = ["ask", "query", "instruction", "preset"].map(byId);
  const [slider, guidance, judge, placement] = ["slider", "guidance", "judge", "placement"].map(byId);
  const [send, stop, error, log] = ["send", "stop", "error", "log"].map(byId);
  const ARMS = ["plain", "instructed", "steered"];
  // Where the slider stands if the server does not say.
  const GUIDANCE = 2;

  // What the server does by itself; the page works without.
  let server = {};
  let turns = [];
  let made = 0;
  let running = null;

  // Fields that the server may find wrong, by its names.
  const FIELDS = {
    temperature: "temperature",
    max_tokens: "max-tokens",
    seed: "seed",
    "sda.guidance": "guidance",
    "sda.instruction": "instruction",
    "sda.placement": "placement",
  };

  function clearError() {
    error.textContent = "";
    for (const field of form.querySelectorAll("[aria-invalid]")) {
      field.removeAttribute("aria-invalid");
      field.removeAttribute("aria-errormessage");
    }
  }

  function refuse(message, id) {
    error.textContent = message;
    const field = id && byId(id);
    if (!field) return;
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-errormessage", "error");
    const details = field.closest("details");
    if (details) details.open = true;
    field.focus();
  }

  // Says what the server said; asks for a key if that is what is missing.
  function refused(problem) {
    if (problem.status !== 401) return refuse(problem.message, FIELDS[problem.field]);
    byId("key-field").hidden = false;
    refuse("The server wants an API key.", "key");
  }

  // The number in a field; undefined if there is none. What is no number is told.
  function number(id) {
    const field = byId(id);
    if (field.validity.badInput) throw { status: 400, message: `${field.labels[0].textContent.trim()}: not a number`, field: id };
    return field.value === "" ? undefined : field.valueAsNumber;
  }

  // The instruction as a request says it: not at all if it is the server's own.
  function instructed() {
    const text = instruction.value.trim();
    if (text === (server.instruction ?? "").trim()) return {};
    const known = data.presets.find((each) => each.name === preset.value && each.instruction === text);
    return known ? { preset: known.name } : { instruction: text };
  }

  function steering(arm) {
    if (arm === "plain") return { instruction: "", guidance: 1 };
    const how = instructed();
    if (placement.value) how.placement = placement.value;
    if (arm === "instructed") return { ...how, guidance: 1 };
    if (judge.checked) return { ...how, judge: true };
    return { ...how, guidance: number("guidance") };
  }

  // The turns before, each with the answer that the user goes on from.
  function history() {
    return turns.flatMap(({ asked, columns }) => {
      const told = columns.filter((column) => column.text());
      const chosen = told.find((column) => column.pick.checked) ?? told.at(-1);
      return chosen
        ? [{ role: "user", content: asked }, { role: "assistant", content: chosen.text() }]
        : [];
    });
  }

  function body(arm, asked, seed) {
    return {
      messages: [...history(), { role: "user", content: asked }],
      stream: true,
      seed,
      temperature: number("temperature"),
      max_tokens: number("max-tokens"),
      sda: { trace: true, trace_top: 5, ...steering(arm) },
    };
  }

  // With a form that covers the lower end, the page follows the answers as long as the user is there.
  const follows = () => getComputedStyle(form).position === "sticky";
  const isAtEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 60;
  let scrolls = false;
  function follow() {
    if (scrolls || !follows() || !isAtEnd()) return;
    scrolls = true;
    requestAnimationFrame(() => {
      scrolls = false;
      window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
    });
  }

  async function run(column, request, signal) {
    let isDone = false;
    try {
      for await (const event of api.chat(request, signal)) {
        follow();
        isDone = column.take(event) || isDone;
      }
      if (!isDone) throw new Error("The connection ended before the answer did.");
      column.end();
    } catch (problem) {
      column.end(signal.aborted ? null : problem);
      return signal.aborted ? null : problem;
    }
    return null;
  }

  function setRunning(controller) {
    running = controller;
    send.disabled = running !== null;
    const hadFocus = document.activeElement === stop;
    stop.disabled = running === null;
    if (hadFocus && stop.disabled) query.focus();
  }

  async function ask() {
    const asked = query.value.trim();
    if (running) return;
    clearError();
    if (!asked) return refuse("There is no question.", "query");
    const arms = !instruction.value.trim() ? ["plain"] : byId("compare").checked ? ARMS : ["steered"];
    let requests;
    try {
      const seed = number("seed") ?? crypto.getRandomValues(new Uint32Array(1))[0];
      requests = arms.map((arm) => body(arm, asked, seed));
    } catch (problem) {
      return refuse(problem.message, problem.field);
    }

    made += 1;
    const columns = arms.map((arm) => answers.make(arm, made, arms.length === 1));
    columns.at(-1).pick.checked = true;
    const section = element("section", { className: "turn" },
      element("h2", { textContent: asked }),
      element("div", { className: "answers" }, ...columns.map((column) => column.column)));
    section.setAttribute("aria-label", `Question ${made}`);
    byId("empty").hidden = true;
    log.append(section);
    const turn = { asked, columns };
    query.value = "";
    const controller = new AbortController();
    setRunning(controller);
    if (follows()) window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
    else section.scrollIntoView({ block: "start", behavior: "instant" });

    const problems = await Promise.all(columns.map((column, i) => run(column, requests[i], controller.signal)));
    if (running !== controller) return;
    setRunning(null);
    const problem = problems.find((problem) => problem);
    if (columns.some((column) => column.text())) {
      turns.push(turn);
      const last = columns.at(-1);
      const others = columns.slice(0, -1).map((column) => column.name.toLowerCase());
      answers.announce(`${last.name} answer: ${last.text()}${others.length ? ` Also there: ${others.join(", ")}.` : ""}`);
    } else {
      // Nothing came of it: the question is where it was.
      section.remove();
      query.value ||= asked;
      byId("empty").hidden = turns.length > 0;
    }
    if (problem) refused(problem);
  }

  function clear() {
    running?.abort();
    setRunning(null);
    turns = [];
    shared.hide();
    log.replaceChildren();
    clearError();
    byId("empty").hidden = false;
    answers.announce("The conversation is empty.");
    query.focus();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  form.addEventListener("keydown", (event) => {
    const sends = event.key === "Enter" && !event.isComposing &&
      (event.target === query ? !event.shiftKey : event.ctrlKey || event.metaKey);
    if (!sends) return;
    event.preventDefault();
    ask();
  });
  stop.addEventListener("click", () => running?.abort());
  byId("clear").addEventListener("click", clear);

  slider.addEventListener("input", () => { guidance.value = Number(slider.value).toFixed(2); });
  guidance.addEventListener("input", () => { slider.value = guidance.value; });
  judge.addEventListener("change", () => {
    slider.disabled = guidance.disabled = judge.checked;
  });
  preset.addEventListener("change", () => {
    const known = data.presets.find((each) => each.name === preset.value);
    if (known) instruction.value = known.instruction;
    else instruction.focus();
  });
  instruction.addEventListener("input", showPreset);
  function showPreset() {
    preset.value = data.presets.find((each) => each.instruction === instruction.value.trim())?.name ?? "";
  }
  byId("key").addEventListener("change", () => {
    api.setKey(byId("key").value);
    clearError();
    begin();
  });
  // What has the focus is not hidden below the form.
  new ResizeObserver(() => {
    document.documentElement.style.scrollPaddingBottom = follows() ? `${form.offsetHeight + 8}px` : "";
  }).observe(form);

  function setGuidance(value) {
    guidance.value = value.toFixed(2);
    slider.value = value;
  }

  // Asks what the server does by itself, and fills the form with it.
  async function begin() {
    let props;
    try {
      props = await api.props();
    } catch (problem) {
      if (problem.status === 401) refused(problem);
      // The model is loaded behind an open door.
      if (problem.status === 503) {
        byId("model").textContent = "loading the model\u2026";
        setTimeout(begin, 1000);
      }
      return;
    }
    const model = props.model_alias ?? "";
    byId("model").textContent = model;
    if (model) document.title = `sda \u2013 ${model}`;
    server = props.sda ?? {};
    if (!instruction.value) instruction.value = server.instruction ?? "";
    showPreset();
    if (typeof server.guidance === "number") setGuidance(server.guidance);
    byId("judge-field").hidden = !server.judge;
    judge.checked = Boolean(server.judge);
    slider.disabled = guidance.disabled = judge.checked;
    const params = props.default_generation_settings?.params ?? {};
    if (typeof params.temperature === "number") byId("temperature").placeholder = String(Number(params.temperature.toFixed(3)));
    if (params.max_tokens > 0) byId("max-tokens").placeholder = String(params.max_tokens);
  }

  for (const { name } of data.presets) preset.append(element("option", { value: name, textContent: name }));
  setGuidance(GUIDANCE);
  shared.theme();
  shared.legend();
  byId("legend").append(element("span", { className: "less", textContent: "less guidance, to stay within the KL budget" }));
  begin();
  query.focus();
})();
