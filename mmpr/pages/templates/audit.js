"use strict";
(() => {
  const { sample, items } = JSON.parse(document.getElementById("data").textContent);
  const articles = [...document.querySelectorAll("#items > article")];
  if (!articles.length) return;
  const element = (id) => document.getElementById(id);
  const answers = ["right", "wrong", "unsure"];
  const verdicts = ["correct", "incorrect", "unparseable"];
  const statuses = new Map(items.map((item) => [item.key, item.status]));
  const store = `mmpr-audit-${sample}`;
  const given = new Map(); // key of a verdict -> a judgement: says, instead, why, who, when
  let at = 0;
  let name = ""; // of whoever judges in this window

  // Wilson's interval of a share, at 95 %
  function wilson(hits, total) {
    const z = 1.959963984540054;
    const share = hits / total;
    const scale = 1 + (z * z) / total;
    const middle = (share + (z * z) / (2 * total)) / scale;
    const half = (z / scale) * Math.sqrt((share * (1 - share)) / total + (z * z) / (4 * total * total));
    return [Math.max(0, middle - half), Math.min(1, middle + half)];
  }

  const percent = (share) => (100 * share).toFixed(1);

  const text = (value, most) => (typeof value === "string" ? value.slice(0, most) : "");

  // The judgement of a line of audit.jsonl that was parsed, as [key, judgement]; null of anything else.
  function taken(line) {
    if (!line || typeof line !== "object" || typeof line.response !== "string") return null;
    if (statuses.get(line.response) !== line.verdict || !answers.includes(line.says)) return null;
    const instead = line.says === "wrong" && verdicts.includes(line.instead) && line.instead !== line.verdict;
    return [line.response, {
      says: line.says, instead: instead ? line.instead : "",
      why: text(line.why, 1000), who: text(line.who, 100), when: text(line.when, 40),
    }];
  }

  // A line of audit.jsonl (mmpr/audit/judgements.py).
  const line = (key, { says, instead, why, who, when }) => ({ response: key, verdict: statuses.get(key), says, instead, why, who, when });
  const lines = () => [...given].map(([key, judgement]) => line(key, judgement));

  function figures(status) {
    const of = items.filter((item) => status === "" || item.status === status).map((item) => given.get(item.key)?.says);
    const [right, wrong] = answers.map((answer) => of.filter((one) => one === answer).length);
    return { right, wrong, interval: right + wrong ? wilson(right, right + wrong) : null };
  }

  function show() {
    articles.forEach((article, place) => { article.hidden = place !== at; });
    const judgement = given.get(items[at].key);
    for (const one of answers) element(one).setAttribute("aria-pressed", String(one === judgement?.says));
    for (const option of element("instead").options) option.disabled = option.value === items[at].status;
    element("instead").value = judgement?.instead ?? "";
    element("why").value = judgement?.why ?? "";
    element("why").disabled = !judgement;
    element("place").textContent = `Verdict ${at + 1} of ${items.length}`;
    for (const row of document.querySelectorAll("[data-status]")) {
      const { right, wrong, interval } = figures(row.dataset.status);
      const texts = [right, wrong, "–", "–"];
      if (interval) {
        texts[2] = `${percent(right / (right + wrong))}%`;
        texts[3] = `${percent(interval[0])}–${percent(interval[1])}%`;
      }
      texts.forEach((text, column) => { row.cells[column + 1].textContent = text; });
    }
    const { right, wrong, interval } = figures("");
    let said = "Nothing judged yet.";
    if (given.size) said = `${given.size} of ${items.length} judged.`;
    if (interval) {
      said += ` ${right} of ${right + wrong} verdicts are right: ${percent(right / (right + wrong))}%,` +
        ` between ${percent(interval[0])}% and ${percent(interval[1])}%.`;
    }
    element("count").textContent = said;
  }

  function keep() {
    try {
      localStorage.setItem(store, JSON.stringify(lines()));
    } catch {
      element("message").textContent = "This browser keeps nothing for files on disk: save to a file.";
    }
  }

  // Served by `mmpr serve`: every judgement goes to the build's audit.jsonl; the last on a verdict counts.
  const served = location.protocol === "http:";
  async function send(key, judgement) {
    if (!served) return;
    let said = "mmpr serve does not answer: save to a file.";
    try {
      const body = JSON.stringify(line(key, judgement));
      const answer = await fetch("audit.jsonl", { method: "POST", headers: { "Content-Type": "application/jsonl" }, body });
      said = answer.ok ? "Kept in audit.jsonl of the build." : `Not kept: ${await answer.text()}`;
    } catch { /* said above */ }
    element("message").textContent = said;
  }

  function go(place, focus) {
    at = Math.min(Math.max(place, 0), items.length - 1);
    show();
    if (focus) articles[at].focus({ preventScroll: true });
  }

  function judge(says, instead, why) {
    given.set(items[at].key, { says, instead, why, who: name, when: new Date().toISOString() });
    keep();
    send(items[at].key, given.get(items[at].key));
  }

  // The same answer again takes it back; a new one goes on to the next verdict without an answer.
  function say(answer) {
    const key = items[at].key;
    if (given.get(key)?.says === answer) {
      send(key, { ...given.get(key), says: "unsure", instead: "" });
      given.delete(key);
      keep();
      show();
      return;
    }
    judge(answer, "", given.get(key)?.why ?? "");
    for (let by = 1; by < items.length; by += 1) {
      const place = (at + by) % items.length;
      if (!given.has(items[place].key)) return go(place, true);
    }
    show();
  }

  function save() {
    const content = lines().map((one) => `${JSON.stringify(one)}\n`).join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: "application/jsonl" }));
    link.download = "audit.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    element("message").textContent = `${given.size} answers saved.`;
  }

  async function load(event) {
    const file = event.target.files[0];
    event.target.value = "";
    if (!file) return;
    let found = [];
    try {
      if (file.size > 5000000) throw new Error("too large");
      const said = (await file.text()).split("\n").filter((one) => one.trim());
      found = said.map((one) => taken(JSON.parse(one))).filter(Boolean);
    } catch {
      element("message").textContent = "This file is not one of answers; nothing was changed.";
      return;
    }
    found.forEach(([key, judgement]) => given.set(key, judgement));
    keep();
    show();
    element("message").textContent = found.length
      ? `${found.length} answers loaded.` : "The file has no answers to these verdicts; nothing was changed.";
  }

  function clear() {
    if (!given.size || !confirm(`Forget ${given.size} answers?`)) return;
    given.clear();
    keep();
    go(0, false);
    element("message").textContent = "All answers are forgotten.";
  }

  for (const answer of answers) element(answer).addEventListener("click", () => say(answer));
  element("previous").addEventListener("click", () => go(at - 1, false));
  element("next").addEventListener("click", () => go(at + 1, false));
  element("instead").addEventListener("change", () => {
    judge("wrong", element("instead").value, given.get(items[at].key)?.why ?? "");
    show();
  });
  element("why").addEventListener("change", () => {
    const judgement = given.get(items[at].key);
    if (judgement) judge(judgement.says, judgement.instead, element("why").value);
  });
  element("who").addEventListener("change", () => {
    const before = name;
    name = element("who").value.trim();
    for (const judgement of given.values()) if (!served && judgement.who === before) judgement.who = name;
    keep();
  });
  element("save").addEventListener("click", save);
  element("load").addEventListener("change", load);
  element("clear").addEventListener("click", clear);
  const steps = { y: "right", n: "wrong", u: "unsure" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, select, textarea")) return;
    if (steps[event.key]) say(steps[event.key]);
    else if (event.key === "j" || event.key === "ArrowRight") go(at + 1, true);
    else if (event.key === "k" || event.key === "ArrowLeft") go(at - 1, true);
    else return;
    event.preventDefault();
  });

  try {
    const kept = JSON.parse(localStorage.getItem(store)) ?? [];
    kept.map(taken).filter(Boolean).forEach(([key, judgement]) => given.set(key, judgement));
    name = [...given.values()].at(-1)?.who ?? "";
    element("who").value = name;
  } catch {
    element("message").textContent = "This browser keeps nothing for files on disk: save to a file.";
  }
  const open = items.findIndex((item) => !given.has(item.key));
  go(open < 0 ? 0 : open, false);
})();
