// What the pages do beyond HTML: times that count, parts that are renewed while they are looked at, and charts.
import { watch } from "./live.js";
import { tick } from "./clock.js";
import { draw } from "./charts.js";

const charts = document.getElementById("charts");

// Said once when it changes, not with every figure.
let alarm = null;
function sayAlarm() {
  const verdict = document.getElementById("verdict");
  const level = verdict?.className;
  if (!verdict || level === alarm) return;
  if (alarm !== null) document.getElementById("alarm").textContent = verdict.dataset.alarm;
  alarm = level;
}

const renew = () => {
  tick();
  sayAlarm();
  if (charts) draw(charts);
};

watch(renew);
renew();
setInterval(tick, 1000);
if (charts) new ResizeObserver(() => draw(charts)).observe(charts);
document.getElementById("problem")?.focus();
