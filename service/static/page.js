// The page at `/`: files in, the answer of `POST /v1/rank` drawn. Names and messages enter the page as text, never as markup.

const MOST_FILES = 256;
const at = (id) => document.getElementById(id);
const words = fetch("static/words.json").then((answer) => answer.json());

let chosen = [];
let running = null;
let pictures = new Map();

function made(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function percent(chance) {
  if (chance < 0.01) return "under 1 %";
  if (chance > 0.99) return "over 99 %";
  return `${Math.round(100 * chance)} %`;
}

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

// The service names repeated files `name#2`, `name#3`, ...; so are they here, to find the picture of a row again.
function byId(files) {
  const found = new Map();
  for (const file of files) {
    let id = file.name;
    for (let number = 2; found.has(id); number += 1) id = `${file.name}#${number}`;
    found.set(id, file);
  }
  return found;
}

function choose(files) {
  chosen = [...files];
  at("again").disabled = chosen.length === 0;
  if (chosen.length > 0) rank();
}

async function rank() {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  show("");
  complain("");
  at("result").replaceChildren();
  for (const url of pictures.values()) URL.revokeObjectURL(url);
  pictures = new Map([...byId(chosen)].map(([id, file]) => [id, URL.createObjectURL(file)]));
  if (chosen.length > MOST_FILES) {
    complain(`${chosen.length} files; this page takes ${MOST_FILES} at once. Larger sets: pqa rank FOLDER --server ADDRESS`);
    return;
  }
  show(`sending ${count(chosen.length, "picture")} …`);
  const bar = at("progress");
  bar.hidden = false;
  bar.removeAttribute("value");
  try {
    const document = await ask(mine.signal, (done) => {
      bar.max = chosen.length;
      bar.value = done;
      show(`${done} of ${count(chosen.length, "picture")} scored …`);
    });
    if (mine === running) await draw(document);
  } catch (error) {
    if (mine !== running || error.name === "AbortError") return;
    show("");
    complain(error.message);
  } finally {
    if (mine === running) bar.hidden = true;
  }
}

async function ask(signal, progress) {
  const form = new FormData();
  form.append("attribute", at("attribute").value);
  for (const file of chosen) form.append("images", file, file.name);
  const headers = { Accept: "application/x-ndjson, application/json" };
  if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
  let answer;
  try {
    answer = await fetch("v1/rank", { method: "POST", body: form, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service did not answer. Is it still running? A file may also have changed since it was chosen.");
  }
  if (answer.status === 401 || answer.status === 403) at("key-field").hidden = false;
  if (!answer.ok) throw new Error(problemText(await answer.json().catch(() => ({})), answer.status));
  if (!answer.headers.get("content-type").startsWith("application/x-ndjson")) return answer.json();
  return lastOf(answer.body, progress);
}

async function lastOf(body, progress) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let done = 0;
  for (;;) {
    const chunk = await reader.read();
    if (chunk.done) throw new Error("The answer ended before the ranking came. Try again.");
    const lines = (rest + chunk.value).split("\n");
    rest = lines.pop();
    for (const line of lines.map((text) => JSON.parse(text))) {
      if (line.event === "problem") throw new Error(problemText(line.problem, line.problem.status));
      if (line.event === "answer") return line.answer;
      done += 1;
      progress(done);
    }
  }
}

function problemText(problem, status) {
  const rows = (problem.unscored ?? []).map((row) => `${row.id}: ${row.detail}`);
  return [`${problem.title ?? `Error ${status}`}. ${problem.detail ?? ""}`, ...rows.slice(0, 10)].join(" · ");
}

async function draw(answer) {
  const texts = await words;
  const ranked = answer.groups.reduce((sum, group) => sum + group.ranking.length, 0);
  show(`${count(ranked, "picture")} ranked by ${answer.attribute} quality, best first. Model ${answer.model.name} ${answer.model.version}.`);
  if (answer.warnings.length) complain(answer.warnings.map((warning) => warning.message).join(" · "));
  at("result").replaceChildren(...answer.groups.map((group) => drawGroup(group, texts)), drawUnscored(answer.unscored));
}

function drawGroup(group, texts) {
  const section = made("section");
  if (group.best && group.ranking.length > 1) {
    section.append(made("h2", "", `${group.best.id} is the best with a chance of ${percent(group.best.p_best)}`));
  }
  const bands = made("div", "bands");
  for (const rows of tied(group.ranking)) {
    const band = made("div", "band");
    const [first, last] = [rows[0].rank, rows[rows.length - 1].rank];
    band.append(made("p", "", first === last ? `Rank ${first}` : `Ranks ${first} to ${last}: too close to call`));
    const cards = made("div", "cards");
    cards.append(...rows.map((row) => drawCard(row, group, texts)));
    band.append(cards);
    bands.append(band);
  }
  section.append(bands);
  return section;
}

function tied(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.tie_group, [...(found.get(row.tie_group) ?? []), row]);
  return [...found.values()];
}

function drawCard(row, group, texts) {
  const card = made("figure", row.rank === 1 ? "card best" : "card");
  card.append(drawPhoto(row));
  const name = made("figcaption", "name");
  name.append(made("b", "", row.rank), made("span", "", row.id));
  const score = made("div", "score");
  const spread = row.score_std === null ? "" : ` ± ${row.score_std.toFixed(2)}`;
  score.append(made("span", "", `${row.score.toFixed(2)}${spread}`));
  const chance = group.win_probability?.[row.rank - 1]?.[0];
  if (row.rank > 1 && chance !== undefined) score.append(made("span", "", `beats first: ${percent(chance)}`));
  const chips = made("ul", "chips");
  for (const reason of row.reasons) {
    const chip = made("li", "", texts.reasons[reason.code] ?? reason.code.replaceAll("_", " "));
    chip.title = `${reason.value.toPrecision(3)} ${reason.unit}, limit ${reason.threshold.toPrecision(3)}`;
    chips.append(chip);
  }
  chips.append(...row.flags.map((flag) => made("li", "flag", texts.flags[flag] ?? flag.replaceAll("_", " "))));
  card.append(name, score, chips);
  return card;
}

function drawPhoto(row) {
  const photo = made("div", "photo");
  const frame = made("div", "frame");
  const image = made("img");
  image.alt = `${row.id}, rank ${row.rank}`;
  image.onerror = () => photo.replaceChildren("this browser cannot show it");
  image.src = pictures.get(row.id) ?? "";
  frame.append(image, ...row.faces.filter((face) => face.used).map((face) => drawFace(face, row)));
  photo.append(frame);
  return photo;
}

function drawFace(face, row) {
  const box = made("span", "face");
  const [x1, y1, x2, y2] = face.box;
  box.style.left = `${(100 * x1) / row.width}%`;
  box.style.top = `${(100 * y1) / row.height}%`;
  box.style.width = `${(100 * (x2 - x1)) / row.width}%`;
  box.style.height = `${(100 * (y2 - y1)) / row.height}%`;
  return box;
}

function drawUnscored(rows) {
  const section = made("section", "unscored");
  if (rows.length === 0) return section;
  section.append(made("h2", "", `${count(rows.length, "file")} without a score`));
  const list = made("ul");
  list.append(...rows.map((row) => made("li", "", `${row.id}: ${row.detail}`)));
  section.append(list);
  return section;
}

function show(text) {
  at("status").textContent = text;
}

function complain(text) {
  at("problem").textContent = text;
  at("problem").hidden = text === "";
}

async function offerAttributes() {
  const answer = await fetch("v1/models");
  if (answer.status === 401) at("key-field").hidden = false;
  if (!answer.ok) return;
  const { models } = await answer.json();
  at("attribute").replaceChildren(...models[0].attributes.map((name) => made("option", "", name)));
}

at("files").addEventListener("change", (event) => choose(event.target.files));
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  rank();
});
at("attribute").addEventListener("change", () => chosen.length > 0 && rank());
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget === null && at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  choose(event.dataTransfer.files);
});
offerAttributes();
