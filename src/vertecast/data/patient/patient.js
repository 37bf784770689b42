"use strict";
// Turns the list of steps into one step at a time. Without this script all steps stand one below the other.
(() => {
  const walk = document.getElementById("walk");
  const steps = [...document.querySelectorAll(".step")];
  const controls = document.querySelector(".controls");
  if (steps.length < 2) return;
  const [back, play, next, where] = ["back", "play", "next", "where"].map((id) => document.getElementById(id));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const hold = 2400;
  let here = 0, shown = 0, timer = 0;

  const stills = () => [...steps[here].querySelectorAll(".still")];
  const show = () => {
    steps.forEach((step, k) => step.classList.toggle("here", k === here));
    stills().forEach((image, k) => image.classList.toggle("shown", k === shown));
    back.disabled = here === 0;
    next.disabled = here === steps.length - 1;
    where.textContent = `${here + 1} / ${steps.length}`;
  };
  const go = (to) => {
    here = Math.min(Math.max(to, 0), steps.length - 1);
    shown = timer ? 0 : Math.max(stills().length - 1, 0);
    show();
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = play.dataset.play;
  };
  const tick = () => {
    if (shown + 1 < stills().length) { shown += 1; show(); }
    else if (here + 1 < steps.length) go(here + 1);
    else stop();
  };
  const start = () => {
    timer = setInterval(tick, hold);
    play.textContent = play.dataset.stop;
    if (here === steps.length - 1) here = 0;
    go(here);
  };
  back.addEventListener("click", () => { stop(); go(here - 1); });
  next.addEventListener("click", () => { stop(); go(here + 1); });
  play.addEventListener("click", () => (timer ? stop() : start()));
  walk.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    stop();
    go(to);
  });
  const obey = () => { play.hidden = still.matches; if (still.matches) stop(); };
  still.addEventListener("change", obey);
  walk.classList.add("stepping");
  walk.tabIndex = 0;
  controls.hidden = false;
  obey();
  go(0);
})();
