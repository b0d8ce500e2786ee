"use strict";
(() => {
  const { build, sample, items } = JSON.parse(document.getElementById("data").textContent);
  const articles = [...document.querySelectorAll("#items > article")];
  if (!articles.length) return;
  const element = (id) => document.getElementById(id);
  const answers = ["right", "wrong", "unsure"];
  const keys = new Set(items.map((item) => item.key));
  const store = `mmpr-audit-${sample}`;
  const given = new Map(); // key of a verdict -> one of the answers
  let at = 0;

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

  // Known keys with known answers of anything that was parsed; the rest is not taken.
  function taken(tree) {
    const found = tree && typeof tree === "object" && tree.answers && typeof tree.answers === "object" ? tree.answers : {};
    return Object.entries(found).filter(([key, answer]) => keys.has(key) && answers.includes(answer));
  }

  function figures(status) {
    const of = items.filter((item) => status === "" || item.status === status).map((item) => given.get(item.key));
    const [right, wrong] = answers.map((answer) => of.filter((one) => one === answer).length);
    return { right, wrong, interval: right + wrong ? wilson(right, right + wrong) : null };
  }

  function show() {
    articles.forEach((article, place) => { article.hidden = place !== at; });
    const answer = given.get(items[at].key);
    for (const one of answers) element(one).setAttribute("aria-pressed", String(one === answer));
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
      localStorage.setItem(store, JSON.stringify({ answers: Object.fromEntries(given) }));
    } catch {
      element("message").textContent = "This browser keeps nothing for files on disk: save to a file.";
    }
  }

  function go(place, focus) {
    at = Math.min(Math.max(place, 0), items.length - 1);
    show();
    if (focus) articles[at].focus({ preventScroll: true });
  }

  // The same answer again takes it back; a new one goes on to the next verdict without an answer.
  function say(answer) {
    const key = items[at].key;
    if (given.get(key) === answer) {
      given.delete(key);
      keep();
      show();
      return;
    }
    given.set(key, answer);
    keep();
    for (let by = 1; by < items.length; by += 1) {
      const place = (at + by) % items.length;
      if (!given.has(items[place].key)) return go(place, true);
    }
    show();
  }

  function save() {
    const { right, wrong, interval } = figures("");
    const content = {
      format: "mmpr judge audit", build, sample, verdicts: items.length, right, wrong,
      precision: interval ? right / (right + wrong) : null, interval, answers: Object.fromEntries(given),
    };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${JSON.stringify(content, null, 1)}\n`], { type: "application/json" }));
    link.download = `audit-${build.replace(/[^\w.-]+/g, "-").slice(0, 60)}.json`;
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
      found = taken(JSON.parse(await file.text()));
    } catch {
      element("message").textContent = "This file is not one of answers; nothing was changed.";
      return;
    }
    found.forEach(([key, answer]) => given.set(key, answer));
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
    taken(JSON.parse(localStorage.getItem(store))).forEach(([key, answer]) => given.set(key, answer));
  } catch {
    element("message").textContent = "This browser keeps nothing for files on disk: save to a file.";
  }
  const open = items.findIndex((item) => !given.has(item.key));
  go(open < 0 ? 0 : open, false);
})();
