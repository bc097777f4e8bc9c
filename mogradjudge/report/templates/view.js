(() => {
  "use strict";
  const rows = document.getElementById("rows"), live = document.getElementById("live");
  const look = async () => {
    try {
      if (document.hidden) return;
      const answer = await fetch("/rows");
      if (!answer.ok) throw new Error(answer.status);
      const text = await answer.text();
      if (text !== look.last) {
        const focused = document.activeElement.getAttribute("href");
        rows.innerHTML = text; // made and escaped by the server
        [...rows.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus();
      }
      look.last = text;
      live.textContent = "";
    } catch {
      live.textContent = "The server has ended; this is its last answer.";
    } finally {
      setTimeout(look, 3000);
    }
  };
  setTimeout(look, 3000);
})();
