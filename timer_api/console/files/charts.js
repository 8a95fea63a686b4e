// Lines over the last minutes, as SVG. What was seen is kept here, whichever copy of the service told it.

const WINDOW_MS = 15 * 60 * 1000;
const WINDOW_LEAST_MS = 2 * 60 * 1000;
const GAP_MS = 20 * 1000;
const HEIGHT = 130;
const LEFT = 44;
const BOTTOM = 18;
const TOP = 8;

const samples = new Map();

function learn() {
  const told = document.getElementById("samples");
  const columns = told.dataset.columns.split(",");
  for (const row of JSON.parse(told.dataset.samples)) {
    samples.set(row[0], Object.fromEntries(columns.map((column, number) => [column, row[number]])));
  }
  const newest = Math.max(...samples.keys());
  for (const at of samples.keys()) if (at < newest - WINDOW_MS) samples.delete(at);
  return [...samples.values()].sort((one, other) => one.at_ms - other.at_ms);
}

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function words(value) {
  if (value === null || value === undefined) return "–";
  if (value === Math.round(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString("en");
  return Math.abs(value) >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
}

// The next of 1, 2, 5, 10, 20…
function nice(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * size).find((step) => step >= value);
}

function ago(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s ago` : `${Math.round(seconds / 60)} min ago`;
}

// The corners of a line, in as many pieces as there are gaps.
function path(points) {
  let drawn = "";
  let before = null;
  for (const point of points) {
    if (point.value === null) {
      before = null;
      continue;
    }
    const joins = before && point.at - before.at <= GAP_MS;
    drawn += `${joins ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`;
    // A lone point is a dot: a line of no length with round ends.
    if (!joins) drawn += "h0.01";
    before = point;
  }
  return drawn;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.title = figure.querySelector("figcaption").textContent;
    this.series = figure.dataset.series.split(",").map((one) => one.split(":"));
    this.at = null;
    this.svg = element("svg", { role: "img", tabindex: "0", height: HEIGHT });
    this.legend = document.createElement("p");
    this.legend.className = "legend";
    this.values = this.series.map(([, label], number) => {
      const entry = document.createElement("span");
      entry.className = `line-${number}`;
      const value = document.createElement("b");
      entry.append(`${label} `, value);
      this.legend.append(entry);
      return value;
    });
    this.moment = document.createElement("span");
    this.moment.className = "hint";
    this.legend.append(this.moment);
    figure.append(this.svg, this.legend);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.leave());
    this.svg.addEventListener("blur", () => this.leave());
    this.svg.addEventListener("keydown", (event) => this.step(event));
  }

  point(x) {
    const at = this.first + ((x - LEFT) / (this.width - LEFT)) * (this.last - this.first);
    this.at = this.found.reduce((best, one) => (Math.abs(one.at_ms - at) < Math.abs(best - at) ? one.at_ms : best), 0);
    this.show(this.found);
  }

  step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") return this.leave();
    if (move === undefined || !this.found.length) return;
    event.preventDefault();
    const now = this.at === null ? this.found.length - 1 : this.found.findIndex((one) => one.at_ms === this.at);
    this.at = this.found[Math.min(this.found.length - 1, Math.max(0, now + move))].at_ms;
    this.show(this.found);
  }

  leave() {
    this.at = null;
    this.show(this.found);
  }

  show(found) {
    this.found = found;
    if (!found.length) return;
    this.width = this.figure.clientWidth;
    this.last = found.at(-1).at_ms;
    this.first = Math.min(found[0].at_ms, this.last - WINDOW_LEAST_MS);
    const highest = Math.max(...found.flatMap((one) => this.series.map(([key]) => one[key] ?? 0)));
    const top = nice(highest || 1);
    const x = (at) => LEFT + ((at - this.first) / (this.last - this.first)) * (this.width - LEFT - 2);
    const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
    const drawn = [0, top / 2, top].flatMap((value) => [
      element("line", { class: "grid", x1: LEFT, x2: this.width, y1: y(value), y2: y(value) }),
      element("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, words(value)),
    ]);
    drawn.push(
      element("text", { x: LEFT, y: HEIGHT - 3 }, ago(this.last - this.first)),
      element("text", { x: this.width - 2, y: HEIGHT - 3, "text-anchor": "end" }, "now"),
    );
    this.series.forEach(([key], number) => {
      const points = found.map((one) => ({ at: one.at_ms, value: one[key], x: x(one.at_ms), y: y(one[key] ?? 0) }));
      drawn.push(element("path", { class: `line line-${number}`, d: path(points) }));
    });
    const chosen = found.find((one) => one.at_ms === this.at) ?? found.at(-1);
    if (this.at !== null) {
      drawn.push(element("line", { class: "cursor", x1: x(chosen.at_ms), x2: x(chosen.at_ms), y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("aria-label", this.told(found, chosen));
    this.svg.replaceChildren(...drawn);
    this.series.forEach(([key], number) => (this.values[number].textContent = words(chosen[key])));
    this.moment.textContent = this.at === null ? "" : ago(this.last - chosen.at_ms);
  }

  told(found, chosen) {
    const when = this.at === null ? "now" : ago(this.last - chosen.at_ms);
    const lines = this.series.map(([key, label]) => {
      const highest = Math.max(...found.map((one) => one[key] ?? 0));
      return `${label}: ${when} ${words(chosen[key])}, at most ${words(highest)}`;
    });
    return `${this.title}. ${lines.join(". ")}.`;
  }
}

const charts = new Map();

export function draw(place) {
  const found = learn();
  for (const figure of place.querySelectorAll("figure")) {
    if (!charts.has(figure)) charts.set(figure, new Chart(figure));
    charts.get(figure).show(found);
  }
}
