// The review by keyboard: one flaw, or one group of look-alikes, at a time.
//
// A decision is shown at once and sent behind it, in order; until the server has it, it counts as not
// stored, and leaving the page asks first. What others decide meanwhile is fetched every few seconds.
"use strict";

const root = document.getElementById("review");
const run = root.dataset.run;
const mayReview = root.dataset.may === "true";
const part = (id) => document.getElementById(id);

/** Flaws by id, and the groups in which they are shown, in order. */
const flaws = new Map();
let items = [];
let at = 0;
let note = "";
/** Decisions of this page that can be taken back, the last one at the end. */
const done = [];
/** Decisions that the server does not have yet. */
const waiting = [];
let sending = false;
let digits = "";
let digitsTimer = 0;

function trouble(said) {
  part("trouble").textContent = said;
  part("trouble").hidden = said === "";
}

function current() {
  return items[at];
}

function take(told) {
  for (const flaw of told.flaws) flaws.set(flaw.id, flaw);
  items = told.groups.map((ids) => ({ ids }));
  const open = items.findIndex((item) => item.ids.some((id) => flaws.get(id).state === "open"));
  at = Math.max(open, 0);
}

function stateOf(item) {
  const states = new Set(item.ids.map((id) => flaws.get(id).state));
  return states.size === 1 ? [...states][0] : "mixed";
}

function show() {
  const item = current();
  if (!item) {
    part("progress").textContent = "no flaws";
    return;
  }
  const flaw = flaws.get(item.ids[0]);
  const crop = part("crop");
  crop.hidden = !flaw.has_crop;
  if (flaw.has_crop) crop.src = `/flaws/${flaw.id}/crop.png`;
  else crop.removeAttribute("src");
  const many = item.ids.length > 1 ? ` — ${item.ids.length} look-alikes` : "";
  part("caption").textContent =
    `${flaw.severity} ${flaw.class}${many}` + (flaw.has_crop ? "" : " (no picture is kept)");
  const facts = [["place", flaw.place], ["size", flaw.size], ["score", flaw.score]];
  part("facts").replaceChildren(
    ...facts.map(([name, fact]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      term.textContent = name;
      value.textContent = fact;
      row.append(term, value);
      return row;
    }),
  );
  const decided = item.ids.map((id) => flaws.get(id)).filter((each) => each.state !== "open");
  const first = decided[0];
  part("verdict").textContent = first
    ? first.verdict + (item.ids.length > 1 ? ` (${decided.length} of ${item.ids.length})` : "")
    : "not reviewed";
  part("verdict").className = `is-${stateOf(item)}`;
  part("shown").className = `is-${stateOf(item)}`;
  const group = part("group");
  group.hidden = item.ids.length < 2;
  group.replaceChildren(
    ...(item.ids.length < 2 ? [] : item.ids.slice(0, 200)).map((id) => {
      const entry = document.createElement("li");
      const link = document.createElement("a");
      link.href = `/flaws/${id}`;
      const image = document.createElement("img");
      image.loading = "lazy";
      image.alt = flaws.get(id).place;
      if (flaws.get(id).has_crop) image.src = `/flaws/${id}/crop.png`;
      link.append(image);
      entry.className = `is-${flaws.get(id).state}`;
      entry.append(link);
      return entry;
    }),
  );
  // The next pictures are there before they are wanted.
  for (const next of items.slice(at + 1, at + 4)) {
    const ahead = flaws.get(next.ids[0]);
    if (ahead.has_crop) new Image().src = `/flaws/${ahead.id}/crop.png`;
  }
  progress();
}

function progress() {
  const all = [...flaws.values()];
  const decided = all.filter((flaw) => flaw.state !== "open").length;
  const unsent = waiting.length ? `, ${waiting.length} not yet stored` : "";
  part("progress").textContent =
    `${at + 1} of ${items.length} · ${decided} of ${all.length} flaws decided${unsent}`;
  root.dataset.decided = String(decided);
  root.dataset.unsent = String(waiting.length);
}

function go(step) {
  at = Math.min(Math.max(at + step, 0), items.length - 1);
  show();
}

async function send() {
  if (sending) return;
  sending = true;
  while (waiting.length) {
    const decision = waiting[0];
    try {
      const answer = await fetch(`/runs/${run}/verdicts`, {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf": root.dataset.csrf },
        body: JSON.stringify(decision.body),
      });
      const told = await answer.json();
      if (answer.ok) {
        for (const flaw of told.flaws) Object.assign(flaws.get(flaw.id), flaw);
        trouble("");
      } else if (answer.status === 503) {
        throw new Error(told.error);
      } else {
        // It will not be taken however often it is sent: it is shown as what it was.
        for (const [id, before] of decision.before) Object.assign(flaws.get(id), before);
        trouble(`a decision was refused: ${told.error}`);
      }
      waiting.shift();
    } catch (error) {
      trouble(`${waiting.length} decisions are not stored yet (${error.message}); trying again`);
      await new Promise((wake) => setTimeout(wake, 2000));
    }
    show();
  }
  sending = false;
}

function decide(decision, chosen) {
  const item = current();
  if (!mayReview || !item) return;
  const ids = item.ids;
  const before = ids.map((id) => [id, { ...flaws.get(id) }]);
  for (const id of ids) {
    const flaw = flaws.get(id);
    flaw.state = decision;
    flaw.verdict = `${decision}${chosen ? " as " + chosen : ""} by you, not yet stored`;
    if (chosen) flaw.class = chosen.replaceAll("_", " ");
  }
  waiting.push({ body: { flaws: ids, decision, class: chosen || null, note }, before });
  done.push({ ids, at });
  note = "";
  part("note").value = "";
  send();
  go(at + 1 < items.length ? 1 : 0);
}

function undo() {
  const last = done.pop();
  if (!mayReview || !last) return;
  const before = last.ids.map((id) => [id, { ...flaws.get(id) }]);
  for (const id of last.ids) {
    flaws.get(id).verdict = "taken back, not yet stored";
    flaws.get(id).state = "open";
  }
  waiting.push({ body: { flaws: last.ids, decision: "undo", class: null, note: "" }, before });
  at = Math.min(last.at, items.length - 1);
  send();
  show();
}

function openOrClose() {
  const item = current();
  if (!item) return;
  if (item.ids.length > 1) {
    const opened = item.ids.map((id) => ({ ids: [id], of: item }));
    items.splice(at, 1, ...opened);
  } else if (item.of) {
    const first = items.findIndex((other) => other.of === item.of);
    const rest = items.filter((other) => other.of !== item.of);
    rest.splice(first, 0, item.of);
    items = rest;
    at = first;
  }
  done.length = 0;
  show();
}

function byNumber(digit) {
  const buttons = [...document.querySelectorAll("#classes button")];
  digits += digit;
  clearTimeout(digitsTimer);
  const pick = () => {
    const button = buttons[Number(digits) - 1];
    digits = "";
    if (button) decide("reclassified", button.dataset.class);
  };
  // One digit may be the first of two.
  const more = Number(digits) * 10 <= buttons.length;
  if (digits.length < 2 && more) digitsTimer = setTimeout(pick, 600);
  else pick();
}

function key(name) {
  switch (name) {
    case "c": return decide("confirmed");
    case "r": return decide("rejected");
    case "u": return undo();
    case "n":
      part("note-form").hidden = false;
      return part("note").focus();
    case "g": return openOrClose();
    case "j":
    case "ArrowRight": return go(1);
    case "k":
    case "ArrowLeft": return go(-1);
  }
  if (/^[0-9]$/.test(name)) byNumber(name);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.tagName === "INPUT") {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (/^([crungjk0-9]|ArrowLeft|ArrowRight)$/.test(name)) {
    event.preventDefault();
    key(name);
  }
});

part("keys").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) key(button.dataset.key);
});

part("classes").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) decide("reclassified", button.dataset.class);
});

part("note-form").addEventListener("submit", (event) => {
  event.preventDefault();
  note = part("note").value;
  part("note").blur();
});

window.addEventListener("beforeunload", (event) => {
  if (waiting.length) event.preventDefault();
});

async function others() {
  try {
    const answer = await fetch(`/runs/${run}/review.json?what=states`);
    if (answer.status === 401) return trouble("you are logged out; log in again in another tab");
    const told = await answer.json();
    const unsent = new Set(waiting.flatMap((decision) => decision.body.flaws));
    for (const flaw of told.flaws) {
      if (flaws.has(flaw.id) && !unsent.has(flaw.id)) Object.assign(flaws.get(flaw.id), flaw);
    }
    if (!waiting.length) show();
  } catch (error) {
    trouble(`the server does not answer (${error.message})`);
  }
}

async function begin() {
  try {
    const answer = await fetch(`/runs/${run}/review.json?order=${root.dataset.order}`);
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    take(await answer.json());
    show();
    root.dataset.ready = "true";
    setInterval(others, 5000);
  } catch (error) {
    trouble(`the flaws cannot be fetched: ${error.message}`);
  }
}

begin();
