(() => {
  "use strict";
  const rows = document.getElementById("rows"), live = document.getElementById("live");
  const look = async () => {
    try {
      const answer = await fetch("/rows");
      if (!answer.ok) throw new Error(answer.status);
      const text = await answer.text();
      if (text !== look.last) rows.innerHTML = text; // made and escaped by the server
      look.last = text;
      live.textContent = "";
    } catch {
      live.textContent = "The server has ended; this is its last answer.";
    }
    setTimeout(look, 3000);
  };
  setTimeout(look, 3000);
})();
