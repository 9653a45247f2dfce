"use strict";
// Keeps the page fresh. Text goes in as text only.
const every = 1000;
const set = (id, text) => { document.getElementById(id).textContent = text; };

function show(now) {
  set("roll", now.roll ? `roll ${now.roll.roll} · article ${now.roll.article}` : "no roll is on");
  for (const id of ["n_flaws", "n_frames", "n_rolls", "n_failed"]) set(id, now[id]);
  set("last_roll", now.last_roll ?? "none yet");
  const { read_at, refused } = now.settings;
  set("settings", refused ? `refused ${read_at}, those before hold: ${refused}` : `read ${read_at}`);
  const wrong = document.getElementById("wrong");
  wrong.replaceChildren(...now.wrong.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  now.cameras.forEach((camera, index) => {
    const figure = document.querySelector(`figure[data-camera="${index + 1}"]`);
    if (!figure) return;
    figure.dataset.doing = camera.doing;
    figure.querySelector("b").textContent = camera.doing;
    figure.querySelector("span").textContent = `${camera.n_frames} frames, ${camera.n_lost} lost`;
    if (camera.doing === "exposing") {
      figure.querySelector("img").src = `/cameras/${index + 1}.png?${Date.now()}`;
    }
  });
}

// Forms that somebody types into are not made anew.
function showAlarms(alarms) {
  const all = document.getElementById("alarms");
  const known = new Map([...all.children].map((form) => [form.dataset.alarm, form]));
  for (const [id, form] of known) {
    if (!alarms.some((alarm) => String(alarm.id) === id)) form.remove();
  }
  for (const alarm of alarms) {
    const form = known.get(String(alarm.id)) ?? all.appendChild(formOf(alarm));
    form.querySelector("span").textContent = `${alarm.n_times} times`;
  }
}

function formOf(alarm) {
  const form = document.createElement("form");
  form.dataset.alarm = alarm.id;
  if (alarm.stops) form.dataset.stops = "";
  const text = document.createElement("p");
  text.append(`alarm ${alarm.id}: ${alarm.message} · `, document.createElement("span"));
  const field = (label, name, type) => {
    const outer = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { name, type, required: true });
    outer.append(`${label} `, input);
    return outer;
  };
  const button = document.createElement("button");
  button.textContent = "acknowledge";
  form.append(text, field("seen by", "by", "text"), " ", field("token", "token", "password"), " ", button, " ", document.createElement("output"));
  return form;
}

document.getElementById("alarms").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const told = form.querySelector("output");
  try {
    const answer = await fetch("/alarms/acknowledge", {
      method: "POST",
      headers: { Authorization: `Bearer ${form.elements.token.value}` },
      body: JSON.stringify({ id: Number(form.dataset.alarm), by: form.elements.by.value }),
    });
    const said = await answer.json();
    told.textContent = said.told ?? said.error;
  } catch {
    told.textContent = "the station does not answer";
  }
});

async function showRibbon() {
  const answer = await fetch("/ribbon.svg", { signal: AbortSignal.timeout(3000) });
  const drawn = new DOMParser().parseFromString(await answer.text(), "image/svg+xml");
  document.getElementById("ribbon").replaceChildren(document.adoptNode(drawn.documentElement));
}

async function look() {
  const stale = document.getElementById("stale");
  try {
    const answer = await fetch("/live.json", { signal: AbortSignal.timeout(3000) });
    const now = await answer.json();
    show(now);
    showAlarms(now.alarms);
    await showRibbon();
    stale.hidden = true;
  } catch {
    // Nothing old may look live.
    stale.hidden = false;
    document.querySelectorAll("figure").forEach((figure) => { figure.dataset.doing = "unknown"; });
  }
  setTimeout(look, every);
}
look();
