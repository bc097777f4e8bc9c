(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];

  // Theme: the system's until the button is used; a browser may forbid to remember it.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const isDark = () =>
    root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  const remember = (value) => {
    try { localStorage.setItem("mogradjudge-theme", value); } catch { /* not kept */ }
  };
  try {
    const kept = localStorage.getItem("mogradjudge-theme");
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch { /* nothing was kept */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  show();

  // What speaks about other criteria, levels or documents only is hidden; a mean belongs to all.
  const entries = all("[data-criteria]");
  const buttons = all("button[data-filter]");
  const selects = all("select[data-narrow]");
  const status = document.getElementById("filter-status");
  let wanted = "";
  const isShown = (entry) =>
    (wanted === "" || entry.dataset.criteria.split(" ").includes(wanted)) &&
    selects.every((select) => {
      const own = entry.dataset[select.dataset.narrow];
      return own === undefined || select.value === "" || select.value === own;
    });
  const filter = () => {
    let shown = 0;
    for (const entry of entries) {
      entry.hidden = !isShown(entry);
      shown += entry.hidden ? 0 : 1;
    }
    const what = wanted === "" ? "all criteria" : wanted;
    status.textContent = `${shown} of ${entries.length} entries shown: ${what}.`;
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      wanted = button.dataset.filter;
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      filter();
    });
  }
  for (const select of selects) select.addEventListener("change", filter);

  // Folding.
  for (const each of all("button[data-fold]")) {
    each.addEventListener("click", () => {
      const scope = document.getElementById(each.dataset.scope);
      for (const details of scope.querySelectorAll("details")) {
        details.open = each.dataset.fold === "open";
      }
    });
  }
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    for (const details of closed) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
  });
})();
