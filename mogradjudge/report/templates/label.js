(() => {
  "use strict";
  const start = document.getElementById("start"), form = document.getElementById("rating");
  const open = (rater, after) => {
    const query = new URLSearchParams(after ? { rater, after } : { rater });
    location.assign(`/?${query}`);
  };
  if (start) {
    start.addEventListener("submit", (event) => {
      event.preventDefault();
      open(document.getElementById("rater").value);
    });
  }
  if (!form) return;
  const fields = [...form.querySelectorAll("fieldset")];
  const rated = (field) =>
    field.querySelector("input:checked") ??
    [...field.querySelectorAll("input[type=number]")].find((input) => input.value && input.validity.valid);
  const enter = (place, options) => {
    const field = fields[Math.max(place, 0)];
    if (field) (rated(field) || field.querySelector("input")).focus(options);
    else form.querySelector("button").focus(options);
  };
  const current = () => fields.findIndex((field) => field.contains(document.activeElement));
  const status = document.getElementById("status");
  const save = async () => {
    const missing = fields.filter((field) => !rated(field));
    if (missing.length) {
      status.textContent = `Not rated yet: ${missing.map((field) => field.dataset.criterion).join(", ")}.`;
      enter(fields.indexOf(missing[0]));
      return;
    }
    const scores = {}, comments = {};
    for (const field of fields) {
      const { value } = rated(field);
      scores[field.dataset.criterion] = value === "n/a" ? value : Number(value);
    }
    for (const area of form.querySelectorAll("textarea")) comments[area.dataset.column] = area.value;
    const { rater, text } = form.dataset;
    try {
      const answer = await fetch("/rate", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ rater, text, scores, comments }),
      });
      if (!answer.ok) throw new Error((await answer.json()).error);
      open(rater, text);
    } catch (error) {
      const ended = error instanceof TypeError; // nobody answers
      status.textContent = ended
        ? "Not saved: the server has ended. Start it again on this port, open its new address in another tab, and save here."
        : `Not saved: ${error.message}`;
    }
  };
  form.addEventListener("input", ({ target }) => {
    const choice = target.matches("input[type=number]") && target.closest("fieldset").querySelector("input:checked");
    if (choice) choice.checked = false; // a number instead of n/a
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); save(); });
  const keys = {
    Enter: () => save(),
    Backspace: (place) => enter((place < 0 ? fields.length : place) - 1),
    c: (place) => fields[Math.max(place, 0)].querySelector("textarea")?.focus(),
    s: () => document.getElementById("skip").click(),
    b: () => document.getElementById("before")?.click(),
  };
  const typed = (event) => {
    const { target, key } = event;
    if (target.matches("a, button")) return key === "Enter" ? undefined : keys[key];
    if (target.matches("textarea")) {
      return { Enter: event.shiftKey ? undefined : keys.Enter, Escape: enter }[key];
    }
    return target.matches("input[type=number]") && key === "Backspace" ? undefined : keys[key];
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const place = form.contains(document.activeElement) ? current() : 0;
    const value = event.key === "n" ? "n/a" : event.key;
    const writing = value === "n/a" ? "textarea" : "textarea, input[type=number]";
    const choice = /^([0-9]|n\/a)$/.test(value) && !event.target.matches(writing)
      && fields[place]?.querySelector(`input[type=radio][value="${value}"]`);
    if (choice) {
      choice.checked = true;
      enter(place + 1);
    } else if (typed(event)) {
      typed(event)(place);
    } else return;
    event.preventDefault();
  });
  // On a phone the text comes first, so it is not scrolled away.
  enter(Math.max(fields.findIndex((field) => !rated(field)), 0), { preventScroll: true });
})();
