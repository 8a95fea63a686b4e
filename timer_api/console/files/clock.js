// Times count down and up between two looks. They go by the database's clock, not by this machine's.

const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

// As `words.span` does it.
function span(seconds) {
  let rest = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count || parts.length) parts.push([count, unit]);
    if (parts.length === 2) break;
  }
  return parts.filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

function fromNow(atMs, nowMs) {
  const seconds = Math.trunc((atMs - nowMs) / 1000);
  if (!seconds) return "now";
  return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

// How far the database's clock is ahead, as the page last told it.
let aheadMs = 0;
let told = "";

export function tick() {
  const now = document.getElementById("now");
  if (!now) return;
  if (now.dataset.now !== told) {
    told = now.dataset.now;
    aheadMs = Number(told) - Date.now();
  }
  for (const time of document.querySelectorAll("time[data-since]")) {
    const words = fromNow(Date.parse(time.dateTime), Date.now() + aheadMs);
    if (time.textContent !== words) time.textContent = words;
  }
}
