"use strict";
(() => {
  const items = JSON.parse(document.getElementById("data").textContent).items;
  const form = document.getElementById("filters");
  const state = document.getElementById("state");
  const search = document.getElementById("filter-search");
  const names = ["source", "method", "outcome", "verdict", "finding"];
  const articles = [...document.querySelectorAll("#questions > article")];
  const texts = articles.map((article) => article.textContent.toLowerCase());
  let at = -1; // position of the question that was stepped to, among all

  const value = (name) => (form.elements[name] ? form.elements[name].value : "");
  const isShown = (place) => !articles[place].hidden;

  function filter() {
    const wanted = names.map((name) => [name, value(name)]).filter(([, chosen]) => chosen);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    items.forEach((item, place) => {
      const fits = wanted.every(([name, chosen]) => item[name].includes(chosen)) &&
        words.every((word) => texts[place].includes(word));
      articles[place].hidden = !fits;
      shown += fits;
    });
    if (at >= 0 && !isShown(at)) at = -1;
    document.getElementById("nothing").hidden = shown > 0;
    tell();
  }

  function tell() {
    const shown = items.map((_, place) => place).filter(isShown);
    const count = shown.length === items.length ? `${items.length} shown` : `${shown.length} of ${items.length} shown`;
    state.textContent = at < 0 ? count : `${shown.indexOf(at) + 1} of ${shown.length}`;
  }

  function remember() {
    const set = new URLSearchParams();
    for (const name of [...names, "search"]) if (value(name)) set.set(name, value(name));
    history.replaceState(null, "", `#${set}`);
  }

  function recall() {
    const hash = location.hash.slice(1);
    if (hash.startsWith("q-")) return;
    const set = new URLSearchParams(hash);
    for (const name of [...names, "search"]) if (form.elements[name]) form.elements[name].value = set.get(name) || "";
    // a name that is in no list leaves the list without a choice
    for (const list of form.querySelectorAll("select")) if (list.selectedIndex < 0) list.selectedIndex = 0;
  }

  function step(by) {
    let next = at < 0 && by < 0 ? articles.length - 1 : at + by;
    while (next >= 0 && next < articles.length && !isShown(next)) next += by;
    if (next < 0 || next >= articles.length) return;
    at = next;
    articles[at].focus({ preventScroll: true });
    articles[at].scrollIntoView({ block: "start" });
    tell();
  }

  form.addEventListener("input", () => { filter(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { at = -1; filter(); remember(); }));
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "j" || event.key === "ArrowRight") step(1);
    else if (event.key === "k" || event.key === "ArrowLeft") step(-1);
    else if (event.key === "/") search.focus();
    else return;
    event.preventDefault();
  });
  addEventListener("hashchange", () => { recall(); filter(); });
  recall();
  filter();
})();
