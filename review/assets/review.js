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
/** Decisions of this page that can be taken back, the last one at the end. */
const done = [];
/** Decisions that the server does not have yet. */
const waiting = [];
let sending = false;
/** Decisions that were sent: what was asked before the last of them is old. */
let nSent = 0;
/** Flaws of one request, at most. */
const AT_ONCE = 500;
/** Answers that would be the same however often a decision is sent. */
const FINAL = [400, 404, 409, 413];
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
  part("note").value = "";
  part("note-form").hidden = true;
  at = Math.min(Math.max(at + step, 0), items.length - 1);
  show();
}

function refused(said) {
  part("refused").textContent = said;
  part("refused").hidden = false;
}

/** Takes the word of a new session of the same person; decisions never go out under another's name. */
async function logInAgain() {
  const answer = await fetch(`/runs/${run}/review.json?what=states`);
  if (!answer.ok) throw new Error("you are logged out: log in again in another tab");
  const told = await answer.json();
  if (told.account !== root.dataset.account) {
    throw new Error(`${told.account} is logged in now: log in as ${root.dataset.account} again`);
  }
  root.dataset.csrf = told.csrf;
}

/** What tells a decision that is sent again from another one. */
function fresh() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
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
      } else if (FINAL.includes(answer.status)) {
        // It will not be taken however often it is sent: it is shown as what it was.
        for (const [id, before] of decision.before) Object.assign(flaws.get(id), before);
        const last = done.indexOf(decision.entry);
        if (last >= 0) done.splice(last, 1);
        refused(`a decision was refused: ${told.error}`);
      } else {
        if (answer.status === 401 || answer.status === 403) await logInAgain();
        throw new Error(told.error);
      }
      waiting.shift();
      nSent += 1;
    } catch (error) {
      trouble(`${waiting.length} decisions are not stored yet (${error.message}); trying again`);
      await new Promise((wake) => setTimeout(wake, 2000));
    }
    show();
  }
  sending = false;
}

function queue(entry, before, decision, chosen, note) {
  const ids = entry.ids;
  for (let from = 0; from < ids.length; from += AT_ONCE) {
    const body = { flaws: ids.slice(from, from + AT_ONCE), decision, class: chosen, note, key: fresh() };
    waiting.push({ body, before: before.slice(from, from + AT_ONCE), entry });
  }
}

function decide(decision, chosen) {
  const item = current();
  if (!mayReview || !item) return;
  // What somebody has decided alone stays so when the rest of its group is decided.
  const open = item.ids.filter((id) => flaws.get(id).state === "open");
  const ids = open.length ? open : item.ids;
  const note = part("note").value.trim();
  const isSo = ids.every((id) => flaws.get(id).state === decision);
  if (isSo && decision !== "reclassified" && !note) return go(1);
  const before = ids.map((id) => [id, { ...flaws.get(id) }]);
  for (const id of ids) {
    const flaw = flaws.get(id);
    flaw.state = decision;
    flaw.verdict = `${decision}${chosen ? " as " + chosen : ""} by you, not yet stored`;
    if (chosen) flaw.class = chosen.replaceAll("_", " ");
  }
  const entry = { ids, at };
  queue(entry, before, decision, chosen || null, note);
  done.push(entry);
  send();
  go(1);
}

function undo() {
  const last = done.pop();
  if (!mayReview || !last) return;
  const before = last.ids.map((id) => [id, { ...flaws.get(id) }]);
  for (const id of last.ids) {
    flaws.get(id).verdict = "taken back, not yet stored";
    flaws.get(id).state = "open";
  }
  queue(last, before, "undo", null, "");
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

/** Gives the class whose number was typed. */
function pick() {
  const buttons = [...document.querySelectorAll("#classes button")];
  const button = buttons[Number(digits) - 1];
  clearTimeout(digitsTimer);
  digits = "";
  if (button) decide("reclassified", button.dataset.class);
}

function byNumber(digit) {
  const n = document.querySelectorAll("#classes button").length;
  digits += digit;
  clearTimeout(digitsTimer);
  // One digit may be the first of two.
  if (digits.length < 2 && Number(digits) * 10 <= n) digitsTimer = setTimeout(pick, 600);
  else pick();
}

function key(name) {
  // A number that waits for its second digit is of the flaw that was looked at when it was typed.
  if (digits && !/^[0-9]$/.test(name)) {
    pick();
    if (name !== "u") return;
  }
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
  // A key that is held down walks, and decides nothing.
  if (event.repeat && !/^([jk]|Arrow.*)$/.test(event.key)) return;
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
  digits = "";
  clearTimeout(digitsTimer);
  if (button) decide("reclassified", button.dataset.class);
});

part("note-form").addEventListener("submit", (event) => {
  event.preventDefault();
  part("note").blur();
});

window.addEventListener("beforeunload", (event) => {
  if (waiting.length) event.preventDefault();
});

async function others() {
  const asked = nSent;
  try {
    const answer = await fetch(`/runs/${run}/review.json?what=states`);
    if (answer.status === 401) return trouble("you are logged out: log in again in another tab");
    if (!answer.ok) throw new Error(`answer ${answer.status}`);
    const told = await answer.json();
    if (asked !== nSent) return;
    const unsent = new Set(waiting.flatMap((decision) => decision.body.flaws));
    for (const flaw of told.flaws) {
      if (flaws.has(flaw.id) && !unsent.has(flaw.id)) Object.assign(flaws.get(flaw.id), flaw);
    }
    if (!waiting.length) {
      trouble("");
      show();
    }
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
