// The map's keys, and the same place in view after the scale has changed.
"use strict";

const map = document.getElementById("map");
const drawn = map.querySelector("svg");
const pxPerM = Number(drawn.dataset.pxPerM);
const place = `map ${location.pathname}`;

function keep() {
  const middle = (map.scrollLeft + map.clientWidth / 2) / pxPerM;
  sessionStorage.setItem(place, String(middle));
}

const middle = Number(sessionStorage.getItem(place) ?? "0");
map.scrollLeft = middle * pxPerM - map.clientWidth / 2;
map.addEventListener("scroll", keep, { passive: true });

map.addEventListener("keydown", (event) => {
  const link = { "+": "nearer", "-": "farther", 0: "whole roll" }[event.key];
  if (!link) return;
  const found = [...document.querySelectorAll(".zoom a")].find((each) => each.textContent === link);
  if (found) found.click();
});

// The roll moves on: what is new is shown without losing the place.
if (document.querySelector("[data-live]")) setTimeout(() => location.reload(), 5000);
