// The page of `cmbert serve`. Texts enter the document as text alone; nothing is kept but the token, until the tab is closed.
"use strict";

const at = (id) => document.getElementById(id);
const KINDS = 6;
const SHOWN = 400;
const AROUND = 40;

function make(tag, text, kind) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function show(id, ...children) {
  at(id).replaceChildren(...children);
  at(id).hidden = false;
}

async function ask(path, body) {
  const headers = at("token").value ? { Authorization: `Bearer ${at("token").value}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error.message);
  const tokens = reply.headers.get("x-compute-tokens");
  if (tokens) at("status").textContent = `${Number(tokens).toLocaleString("en")} tokens in ${reply.headers.get("x-total-time")} ms`;
  return found;
}

async function guarded(work) {
  at("error").hidden = true;
  const buttons = [...document.querySelectorAll("button")];
  const focused = document.activeElement;
  buttons.forEach((button) => { button.disabled = true; });
  try {
    await work();
  } catch (error) {
    show("error", error.message);
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
    if (document.activeElement === document.body) focused.focus();
  }
}

// The server counts characters as code points, the browser in UTF-16.
function markedText(text, spans, kinds) {
  const characters = Array.from(text);
  const parts = [];
  let end = 0;
  for (const span of spans) {
    parts.push(characters.slice(end, span.start).join(""));
    const mark = make("mark", characters.slice(span.start, span.end).join(""), `k${kinds.indexOf(span.label) % KINDS}`);
    mark.append(make("sub", span.label));
    parts.push(mark);
    end = span.end;
  }
  return [...parts, characters.slice(end).join("")];
}

async function tag() {
  const text = at("note").value;
  const spans = await ask("tag", { inputs: text });
  const kinds = [...new Set(spans.map((span) => span.label))].sort();
  const counts = kinds.map((kind) => spans.filter((span) => span.label === kind).length);
  const legend = kinds.map((kind, number) => make("li", `${kind} ${counts[number]}`, `k${number % KINDS}`));
  show("legend", ...(legend.length ? legend : [make("li", "No entities found.")]));
  show("marked", ...markedText(text, spans, kinds));
  at("entities").hidden = false;
}

// The selection, or the word that the cursor stands in.
function chosenWord(field) {
  let [start, end] = [field.selectionStart, field.selectionEnd];
  if (start === end) {
    while (start > 0 && /\S/.test(field.value[start - 1])) start -= 1;
    while (end < field.value.length && /\S/.test(field.value[end])) end += 1;
  }
  return [start, end];
}

async function fillMask() {
  const { value } = at("note");
  const [start, end] = chosenWord(at("note"));
  if (start === end) throw new Error("Put the cursor into a word of the note, or select one.");
  const candidates = await ask("fill-mask", { inputs: `${value.slice(0, start)}[MASK]${value.slice(end)}`, top_k: 8 });
  const [before, after] = [value.slice(Math.max(0, start - AROUND), start), value.slice(end, end + AROUND)];
  at("masked").textContent = `${start > AROUND ? "…" : ""}${before}[ ${value.slice(start, end)} ]${after}${end + AROUND < value.length ? "…" : ""}`;
  show("candidates", ...candidates.map((one) => row("li", one.token, one.probability, `${(100 * one.probability).toFixed(1)} %`)));
  at("filled").hidden = false;
}

function row(tag, name, share, figure) {
  const [line, bar, full] = [make(tag, "", "row"), make("span", "", "bar"), make("i", "")];
  full.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  bar.append(full);
  line.append(make("b", name), bar, make("output", figure));
  return line;
}

async function compare() {
  const [one, other] = await ask("embed", { inputs: [at("note").value, at("other").value] });
  const cosine = one.reduce((sum, value, place) => sum + value * other[place], 0);
  show("similarity", row("div", "Cosine of their vectors", cosine, cosine.toFixed(3)));
}

async function search() {
  const hits = await ask("search", { query: at("query").value });
  show("hits", ...hits.map((hit) => {
    const item = make("li", "");
    item.append(row("div", hit.id, hit.score, hit.score.toFixed(3)));
    if (hit.text !== null) item.append(make("p", hit.text.length > SHOWN ? `${hit.text.slice(0, SHOWN)}…` : hit.text));
    return item;
  }));
}

async function describe() {
  const info = await ask("info");
  const can = new Set(info.verbs);
  at("model").textContent = `${info.model}, weights ${info.model_sha256.slice(0, 12)}, ${info.max_position_embeddings.toLocaleString("en")} tokens at once`;
  at("tag").hidden = !can.has("tag");
  at("fill-mask").hidden = !can.has("fill-mask");
  at("search").hidden = !can.has("search");
  at("indexed").textContent = info.indexed_texts.toLocaleString("en");
  at("hint").textContent = can.has("tag") ? "Ctrl+Enter finds entities." : can.has("fill-mask") ? "Ctrl+Enter masks the word at the cursor." : "";
}

async function open() {
  const reply = await fetch("info", { headers: at("token").value ? { Authorization: `Bearer ${at("token").value}` } : {} });
  at("access").hidden = reply.status !== 401 && !at("token").value;
  if (reply.status === 401) at("model").textContent = "This server asks for a token.";
  else await describe();
}

function takesFiles(field) {
  field.addEventListener("dragover", (event) => { event.preventDefault(); field.classList.add("over"); });
  field.addEventListener("dragleave", () => field.classList.remove("over"));
  field.addEventListener("drop", (event) => {
    field.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    guarded(async () => { field.value = await file.text(); });
  });
}

for (const [id, work] of [["tag", tag], ["fill-mask", fillMask], ["compare", compare]]) at(id).addEventListener("click", () => guarded(work));
at("search").querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); guarded(search); });
at("file").addEventListener("change", (event) => guarded(async () => { at("note").value = await event.target.files[0].text(); }));
at("note").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.ctrlKey) return;
  const first = [at("tag"), at("fill-mask")].find((button) => !button.hidden);
  if (first) first.click();
});
at("token").value = sessionStorage.getItem("token") || "";
at("token").addEventListener("change", () => { sessionStorage.setItem("token", at("token").value); guarded(open); });
[at("note"), at("other")].forEach(takesFiles);
guarded(open);
