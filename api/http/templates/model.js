"use strict";
// Sends the row of the form to `POST /predict`, and shows the result, or each error beside its field.
(() => {
  const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/; // of JSON
  const MAX_SHOWN = 20; // classes
  const IDENTITY = new Set(["id", "status", "model"]);
  const byId = (id) => document.getElementById(id);
  const form = byId("row");
  const answer = byId("answer");
  const fields = [...form.querySelectorAll("[data-sends]")];
  const classes = [...document.querySelectorAll("#classes > li")].map((item) => item.textContent);
  const isText = form.dataset.kind === "text";
  let latest = new AbortController();

  // A value that is not a number is sent as a string, so that the gateway reports the error.
  function jsonOf(field) {
    if (field.dataset.sends === "json") return field.value;
    const isNumber = field.dataset.sends === "number";
    const value = isNumber ? field.value.trim() : field.value;
    if (value === "" && (isNumber || "nullable" in field.dataset)) return "null";
    return isNumber && NUMBER.test(value) ? value : JSON.stringify(value); // a number as typed, with all its digits
  }

  function bodyOf() {
    const values = fields.map(jsonOf).join(",");
    return `{"data":[${isText ? values : `[${values}]`}]}`;
  }

  // Numbers keep their digits, if the browser provides them: an integer can have more digits than a double.
  const parse = (text) => JSON.parse(text, (_, value, context) =>
    typeof value === "number" ? { digits: context?.source ?? String(value) } : value);
  const isNumber = (value) => typeof value === "object" && value !== null && "digits" in value;
  const plain = (value) => (isNumber(value) ? value.digits : value);

  function json(value) {
    if (isNumber(value)) return value.digits;
    if (Array.isArray(value)) return `[${value.map(json).join(", ")}]`;
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    return `{${Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${json(each)}`).join(", ")}}`;
  }

  const show = (value) => (typeof value === "string" ? value : json(value));

  function element(tag, className, ...content) {
    const made = document.createElement(tag);
    made.className = className;
    made.append(...content);
    return made;
  }

  const isolated = (text) => element("bdi", "", text);

  function percent(share) {
    if (share > 0 && share < 0.0005) return "< 0.1 %";
    if (share < 1 && share >= 0.9995) return "> 99.9 %";
    return `${(100 * share).toFixed(1).replace(/\.0$/, "")} %`;
  }

  // Converts a row of the response to numbers: JSON has no infinity, so the logarithm of 0 is "-Infinity".
  const numbers = (row) => (Array.isArray(row) ? row.map((each) => Number(plain(each))) : []);

  function probabilitiesOf(result) {
    const shares = "proba" in result ? numbers(result.proba[0]) : numbers(result.log_proba?.[0]).map(Math.exp);
    return shares.length === classes.length && !shares.some(Number.isNaN) ? shares : [];
  }

  function bars(shares) {
    const sorted = shares.map((share, index) => [share, classes[index]]).sort(([a], [b]) => b - a);
    const items = sorted.slice(0, MAX_SHOWN).map(([share, name]) => {
      const filled = element("span", "");
      filled.style.width = `${100 * share}%`;
      const bar = element("span", "bar", filled);
      bar.setAttribute("aria-hidden", "true");
      return element("li", "", element("span", "", isolated(name)), element("span", "", percent(share)), bar);
    });
    if (shares.length > MAX_SHOWN) items.push(element("li", "quiet", `and ${shares.length - MAX_SHOWN} more classes`));
    return element("ol", "probabilities", ...items);
  }

  function times(response) {
    const found = /queue;dur=([\d.]+), predict;dur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "");
    const parts = found ? [`${Number(found[1]).toFixed(1)} ms in the queue, ${Number(found[2]).toFixed(1)} ms in the pipeline`] : [];
    return element("p", "times", ...parts);
  }

  function showResult(result, response) {
    const shares = probabilitiesOf(result);
    const parts = [];
    if ("prediction" in result) {
      parts.push(element("p", "caption", "Prediction"));
      parts.push(element("p", "prediction", isolated(show(result.prediction[0]))));
    }
    if (shares.length) parts.push(bars(shares));
    for (const [name, rows] of Object.entries(result)) {
      const isShown = name === "prediction" || (shares.length && (name === "log_proba" || name === "proba"));
      if (IDENTITY.has(name) || isShown) continue;
      parts.push(element("p", "others", element("code", "", name), " ", show(Array.isArray(rows) ? rows[0] : rows)));
    }
    parts.push(times(response));
    if (result.model.digest !== form.dataset.digest) {
      parts.push(element("p", "problem", "The workers now serve another model: load this page again."));
    }
    answer.replaceChildren(...parts);
  }

  function showProblem(title, details) {
    answer.replaceChildren(element("p", "problem", title), ...details.map((detail) => element("p", "", isolated(detail))));
  }

  function fieldAt(pointer) {
    const found = /^\/data\/0(?:\/(\d+))?$/.exec(pointer);
    return found ? fields[isText ? 0 : found[1]] : undefined;
  }

  function setFault(field, detail) {
    byId(field.id.replace("field", "fault")).textContent = detail;
    if (detail) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }

  function refuse(problem) {
    const faults = (problem.errors ?? []).map(({ pointer, detail }) => [fieldAt(pointer), detail]);
    const marked = faults.filter(([field]) => field);
    const others = faults.filter(([field]) => !field).map(([, detail]) => detail);
    for (const [field, detail] of marked) setFault(field, detail);
    if (!marked.length) {
      showProblem("No prediction", [problem.detail, ...others]);
      return;
    }
    const values = marked.length === 1 ? "One value does" : `${marked.length} values do`;
    showProblem(`${values} not fit the model`, [marked[0][1], ...others]);
  }

  function pause(seconds, signal) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, 1000 * seconds);
      signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); });
    });
  }

  // Once the row is accepted, its result is looked up until it is final, even if the broker is unavailable (503).
  async function exchange(body, signal) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    let response = await fetch("predict", { method: "POST", headers, body, signal });
    if (response.status !== 202) return response;
    // A relative path, because `Location` lacks the path prefix that a proxy may add.
    const path = `results/${response.headers.get("Location").split("/").pop()}`;
    answer.removeAttribute("aria-busy");
    answer.replaceChildren(element("p", "quiet", "The row is accepted and waits for a worker. The result will appear here."));
    while (response.status === 202 || response.status === 503) {
      await pause(Number(response.headers.get("Retry-After")) || 1, signal);
      response = await fetch(path, { headers: { Accept: "application/json" }, signal });
    }
    return response;
  }

  function showExchange(body, response, text) {
    byId("exchange").hidden = false;
    byId("request").textContent = body;
    byId("status").textContent = `${response.status} ${response.statusText}`;
    byId("response").textContent = text;
  }

  function conclude(response, text) {
    const isJson = /[/+]json\b/.test(response.headers.get("Content-Type") ?? "");
    if (!isJson) showProblem("No prediction", [`The response is not JSON (status ${response.status}): try again.`]);
    else if (!response.ok) refuse(JSON.parse(text));
    else {
      const result = parse(text);
      if (result.status === "succeeded") showResult(result, response);
      else showProblem("No prediction", [result.error?.detail ?? `The prediction is ${result.status}.`]);
    }
  }

  async function submit(event) {
    event.preventDefault();
    latest.abort();
    const { signal } = (latest = new AbortController());
    fields.forEach((field) => setFault(field, ""));
    answer.setAttribute("aria-busy", "true");
    const body = bodyOf();
    try {
      const response = await exchange(body, signal);
      const text = await response.text();
      answer.removeAttribute("aria-busy");
      showExchange(body, response, text);
      conclude(response, text);
    } catch (error) {
      if (signal.aborted) return;
      answer.removeAttribute("aria-busy");
      showProblem("No answer", [`The gateway cannot be reached: try again. (${error.message})`]);
    }
    const wrong = form.querySelector("[aria-invalid]");
    if (wrong) wrong.focus();
    else answer.scrollIntoView({ block: "nearest" });
  }

  form.addEventListener("submit", submit);
  form.addEventListener("reset", () => fields.forEach((field) => setFault(field, "")));
  form.addEventListener("input", (event) => setFault(event.target, ""));
})();
