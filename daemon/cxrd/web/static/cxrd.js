// What the page does better with scripts; without them everything still works.
"use strict";

const EVERY_MS = 5000;
const pauseButton = document.getElementById("pause-updates");
const liveParts = () => [...document.querySelectorAll("[data-live]")];
let paused = false;

// Replace the parts marked data-live by those of a fresh copy of this page, except where a person is at work.
async function update() {
  if (paused || document.hidden || !liveParts().length) return;
  let fresh;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.statusText);
    fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    document.body.classList.add("stale");
    return;
  }
  document.body.classList.remove("stale");
  for (const part of liveParts()) {
    const next = fresh.getElementById(part.id);
    const busy = part.contains(document.activeElement) || getSelection().containsNode(part, true) && !getSelection().isCollapsed;
    if (next && !busy && next.innerHTML !== part.innerHTML) part.innerHTML = next.innerHTML;
  }
}

if (liveParts().length) setInterval(update, EVERY_MS);

if (pauseButton) {
  pauseButton.hidden = false;
  pauseButton.addEventListener("click", () => {
    paused = !paused;
    pauseButton.setAttribute("aria-pressed", String(paused));
    if (!paused) update();
  });
}

// Filters apply at once.
for (const select of document.querySelectorAll("form.filter select")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

// The heat's opacity follows the slider, and the links keep it.
const strength = document.getElementById("strength");
if (strength) {
  document.querySelectorAll(".scriptless").forEach((button) => button.remove());
  strength.addEventListener("input", () => {
    document.getElementById("heat")?.setAttribute("opacity", strength.value / 100);
    document.getElementById("strength-said").textContent = `${strength.value} %`;
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href*="heat="]');
    if (!link) return;
    const target = new URL(link.href);
    target.searchParams.set("strength", strength.value);
    link.href = target;
  });
}

// Films may be dropped on the form; judging takes seconds, so it says that it works.
const drop = document.querySelector("form.drop");
if (drop) {
  const films = drop.querySelector("input[type=file]");
  for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", over);
    });
  }
  drop.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    films.files = event.dataTransfer.files;
    drop.requestSubmit();
  });
  drop.addEventListener("submit", () => {
    document.getElementById("judging").textContent = "The models are at work.";
  });
  addEventListener("pageshow", () => { document.getElementById("judging").textContent = ""; });
}
