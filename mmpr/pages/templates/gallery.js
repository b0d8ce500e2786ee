"use strict";
(() => {
  const items = JSON.parse(document.getElementById("data").textContent).items;
  const form = document.getElementById("filters");
  const state = document.getElementById("state");
  const search = document.getElementById("filter-search");
  const names = ["source", "method", "outcome", "verdict", "comparator", "finding"];
  const kept = [...names, "search", "sort"];
  const PAGE = 20;
  const list = document.getElementById("questions");
  const articles = [...document.querySelectorAll("#questions > article")];
  const texts = articles.map((article) => article.textContent.toLowerCase());
  const orders = {
    "": (item) => (item.paired ? 0 : 1),
    hard: (item) => item.pass_rate ?? 2,
    easy: (item) => -(item.pass_rate ?? -1),
    longer: (item) => -(item.margin ?? -Infinity),
    shorter: (item) => item.margin ?? Infinity,
  };
  let order = items.map((_, place) => place); // all questions as they are sorted
  let fitting = []; // those of them that the filters let through
  let page = 0;
  let at = -1; // position of the question that was stepped to, among all

  const value = (name) => (form.elements[name] ? form.elements[name].value : "");
  function filter() {
    const wanted = names.map((name) => [name, value(name)]).filter(([, chosen]) => chosen);
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const key = orders[value("sort")] || orders[""];
    order = items.map((item, place) => [key(item), place]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((pair) => pair[1]);
    for (const place of order) list.append(articles[place]);
    fitting = order.filter((place) => wanted.every(([name, chosen]) => items[place][name].includes(chosen)) &&
      words.every((word) => texts[place].includes(word)));
    at = fitting.includes(at) ? at : -1;
    turn(at >= 0 ? Math.floor(fitting.indexOf(at) / PAGE) : 0);
    document.getElementById("nothing").hidden = fitting.length > 0;
    tell();
  }

  function turn(to) {
    const pages = Math.max(1, Math.ceil(fitting.length / PAGE));
    page = Math.min(Math.max(to, 0), pages - 1);
    const visible = new Set(fitting.slice(page * PAGE, (page + 1) * PAGE));
    articles.forEach((article, place) => { article.hidden = !visible.has(place); });
    document.querySelector(".pages").hidden = pages < 2;
    document.getElementById("page").textContent = `page ${page + 1} of ${pages}`;
    document.getElementById("earlier").disabled = page === 0;
    document.getElementById("later").disabled = page === pages - 1;
  }

  function tell() {
    const all = items.length;
    const count = fitting.length === all ? `${all} shown` : `${fitting.length} of ${all} shown`;
    state.textContent = at < 0 ? count : `${fitting.indexOf(at) + 1} of ${fitting.length}`;
  }

  function remember() {
    const set = new URLSearchParams();
    for (const name of kept) if (value(name)) set.set(name, value(name));
    history.replaceState(null, "", `#${set}`);
  }

  function recall() {
    const hash = location.hash.slice(1);
    if (hash.startsWith("q-")) {
      at = articles.findIndex((article) => article.id === decodeURIComponent(hash));
      return;
    }
    const set = new URLSearchParams(hash);
    for (const name of kept) if (form.elements[name]) form.elements[name].value = set.get(name) || "";
    // a name that is in no list leaves the list without a choice
    for (const list of form.querySelectorAll("select")) if (list.selectedIndex < 0) list.selectedIndex = 0;
  }

  function step(by) {
    const from = fitting.indexOf(at);
    const next = from < 0 && by < 0 ? fitting.length - 1 : from + by;
    if (next < 0 || next >= fitting.length) return;
    show(fitting[next]);
  }

  function show(place) {
    at = place;
    turn(Math.floor(fitting.indexOf(place) / PAGE));
    for (const body of articles[at].querySelectorAll("details.body")) body.open = true;
    articles[at].focus({ preventScroll: true });
    articles[at].scrollIntoView({ block: "start" });
    tell();
  }

  form.addEventListener("input", () => { filter(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { at = -1; filter(); remember(); }));
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("previous").addEventListener("click", () => step(-1));
  const leaf = (by) => { at = -1; turn(page + by); tell(); list.scrollIntoView({ block: "start" }); };
  document.getElementById("later").addEventListener("click", () => leaf(1));
  document.getElementById("earlier").addEventListener("click", () => leaf(-1));
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const said = (word) => { button.textContent = word; setTimeout(() => { button.textContent = "copy id"; }, 1500); };
    if (!navigator.clipboard) return said(button.dataset.copy); // a page from disk may not write to the clipboard
    navigator.clipboard.writeText(button.dataset.copy).then(() => said("copied"), () => said(button.dataset.copy));
  });
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
  const open = () => { recall(); filter(); if (at >= 0) show(at); };
  addEventListener("hashchange", open);
  open();
})();
