// What keeps somebody from using a page: WCAG 2.2 A and AA, as far as a program can tell.
const faults = [], name = e => e.outerHTML.slice(0, 90);
const shown = e => e.checkVisibility() && e.getClientRects().length > 0;
if (!document.documentElement.lang) faults.push("no language");
if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
let level = 0;
for (const h of document.querySelectorAll("h1,h2,h3,h4")) {
  const next = Number(h.tagName[1]);
  if (next > level + 1) faults.push("heading skips a level: " + name(h));
  level = next;
}
for (const e of document.querySelectorAll("input:not([type=hidden]),select"))
  if (!e.labels.length && !e.ariaLabel) faults.push("no label: " + name(e));
for (const e of document.querySelectorAll("a,button"))
  if (!(e.ariaLabel || e.textContent.trim() || e.querySelector("img[alt]:not([alt=''])"))) faults.push("no name: " + name(e));
for (const e of document.querySelectorAll("table")) if (!e.caption) faults.push("no caption: " + name(e));
for (const e of document.querySelectorAll("th")) if (!e.scope) faults.push("no scope: " + name(e));
for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) faults.push("no alt: " + name(e));
for (const e of document.querySelectorAll("svg")) if (!e.ariaLabel) faults.push("no label: " + name(e));
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) faults.push("id twice: " + id);
for (const e of document.querySelectorAll("[aria-labelledby],[for]"))
  for (const id of (e.getAttribute("aria-labelledby") || e.getAttribute("for")).split(" "))
    if (!ids.includes(id)) faults.push("refers to nothing: " + name(e));
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
  const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]));
const ground = e => { const stack = []; for (let p = e; p; p = p.parentElement) stack.push(rgba(getComputedStyle(p).backgroundColor));
  return stack.reverse().reduce((under, top) => over(top, under), [255, 255, 255]); };
const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
  return .2126 * r + .7152 * g + .0722 * b; };
for (const e of document.querySelectorAll("body *")) {
  const text = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!text || !shown(e) || e.closest("svg,.unseen,.skip,noscript")) continue;
  const under = ground(e), ink = over(rgba(getComputedStyle(e).color), under);
  const [a, b] = [light(ink), light(under)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
  if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(2)}: ${name(e)}`);
}
if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than the window: ${document.documentElement.scrollWidth}`);
return [...new Set(faults)];
