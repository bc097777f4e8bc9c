(() => {
  "use strict";
  const start = document.getElementById("start"), form = document.getElementById("rating");
  const open = (rater) => location.assign(`/?rater=${encodeURIComponent(rater)}`);
  if (start) {
    start.addEventListener("submit", (event) => {
      event.preventDefault();
      open(document.getElementById("rater").value);
    });
  }
  if (!form) return;
  const fields = [...form.querySelectorAll("fieldset")];
  const rated = (field) => field.querySelector("input:checked");
  const enter = (place, options) => {
    const field = fields[Math.max(place, 0)];
    if (field) (rated(field) || field.querySelector("input")).focus(options);
    else form.querySelector("button").focus(options);
  };
  const current = () => fields.findIndex((field) => field.contains(document.activeElement));
  const status = document.getElementById("status");
  const save = async () => {
    const missing = fields.findIndex((field) => !rated(field));
    if (missing >= 0) {
      status.textContent = `Not rated yet: ${fields[missing].dataset.criterion}.`;
      enter(missing);
      return;
    }
    const scores = {};
    for (const field of fields) {
      const { value } = rated(field);
      scores[field.dataset.criterion] = value === "n/a" ? value : Number(value);
    }
    const { rater, text } = form.dataset;
    try {
      const answer = await fetch("/rate", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ rater, text, scores }),
      });
      if (!answer.ok) throw new Error((await answer.json()).error);
      open(rater);
    } catch (error) {
      status.textContent = `Not saved: ${error.message}`;
    }
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); save(); });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const place = current() < 0 && !form.contains(document.activeElement) ? 0 : current();
    const value = event.key === "n" ? "n/a" : event.key;
    if (/^([0-9]|n\/a)$/.test(value) && place >= 0) {
      const input = fields[place].querySelector(`input[value="${value}"]`);
      if (!input) return;
      input.checked = true;
      enter(place + 1);
    } else if (event.key === "Backspace") {
      enter((place < 0 ? fields.length : place) - 1);
    } else if (event.key === "Enter" && document.activeElement.id !== "before") {
      save();
    } else return;
    event.preventDefault();
  });
  // On a phone the text comes first, so it is not scrolled away.
  enter(Math.max(fields.findIndex((field) => !rated(field)), 0), { preventScroll: true });
})();
