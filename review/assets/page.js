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

async function look() {
  const stale = document.getElementById("stale");
  try {
    const answer = await fetch("/live.json", { signal: AbortSignal.timeout(3000) });
    show(await answer.json());
    stale.hidden = true;
  } catch {
    // Nothing old may look live.
    stale.hidden = false;
    document.querySelectorAll("figure").forEach((figure) => { figure.dataset.doing = "unknown"; });
  }
  setTimeout(look, every);
}
look();
