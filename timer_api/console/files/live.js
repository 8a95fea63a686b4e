// Renews parts of the page: those of its stream, or where there is none, those of the page asked for again.
// A part is an element with an id. One with data-parts has parts itself; one with data-keep is left as it is.

const ASK_AGAIN_MS = 5000;
const shown = new Map();

// A form's own `id`, and whatever else it has, is hidden by a field of that name: only the attribute tells.
const idOf = (part) => part.getAttribute("id");

function parts(parent) {
  return [...parent.children].filter(idOf);
}

// What a part says, apart from times that count by themselves.
function said(part) {
  const copy = part.cloneNode(true);
  for (const time of copy.querySelectorAll("time[data-since]")) time.textContent = "";
  return copy.outerHTML;
}

function remember(parent) {
  for (const part of parts(parent)) {
    if (part.hasAttribute("data-parts")) remember(part);
    else shown.set(idOf(part), said(part));
  }
}

// Whether somebody is at it: fills it in, has chosen something there, or marks its text.
function isInUse(part) {
  const focused = document.activeElement;
  const selection = getSelection();
  return (
    (part.contains(focused) && focused.matches("input, select, textarea, button, summary")) ||
    part.querySelector("input[type=checkbox]:checked, details[open] form, details[open] button") !== null ||
    (!selection.isCollapsed && part.contains(selection.anchorNode))
  );
}

function replace(old, part) {
  const html = said(part);
  if (shown.get(idOf(part)) === html || isInUse(old)) return;
  shown.set(idOf(part), html);
  const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const closed = [...old.querySelectorAll("details")].map((details) => details.open);
  old.replaceWith(part);
  part.querySelectorAll("details").forEach((details, number) => {
    if (number < closed.length) details.open = closed[number];
  });
  if (focused) part.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function merge(current, next) {
  const ids = new Set();
  let last = null;
  for (const part of parts(next)) {
    ids.add(idOf(part));
    const old = document.getElementById(idOf(part));
    if (!old) {
      shown.set(idOf(part), said(part));
      if (last) last.after(part);
      else current.append(part);
    } else if (part.hasAttribute("data-parts")) merge(old, part);
    else if (!part.hasAttribute("data-keep")) replace(old, part);
    last = document.getElementById(idOf(part));
  }
  for (const old of parts(current)) if (!ids.has(idOf(old)) && !old.hasAttribute("data-keep")) old.remove();
}

function say(state, words) {
  const live = document.getElementById("live");
  const told = document.getElementById("live-words");
  if (!live || (live.dataset.state === state && told.textContent === words)) return;
  live.dataset.state = state;
  told.textContent = words;
}

// A page can be renewed and still show what is old: then it says so.
function sayRenewed(state, words) {
  const away = document.getElementById("away");
  if (away) say("away", away.dataset.words);
  else say(state, words);
}

// A page that says what is away asks until it is back.
function askAgain() {
  setTimeout(async () => {
    const answer = await fetch(location.href).catch(() => null);
    if (answer && answer.status !== 503) location.reload();
    else askAgain();
  }, ASK_AGAIN_MS);
}

export function watch(renewed) {
  const main = document.getElementById("main");
  if (document.body.hasAttribute("data-again")) askAgain();
  if (!document.body.hasAttribute("data-live")) return;
  remember(main);
  let stream = null;
  let asking = 0;

  const take = (next) => {
    merge(main, next);
    renewed();
  };

  const listen = () => {
    clearTimeout(asking);
    if (document.hidden || stream) return;
    stream = new EventSource(location.href);
    stream.addEventListener("open", () => sayRenewed("on", "Live"));
    stream.addEventListener("main", (event) => {
      take(new DOMParser().parseFromString(event.data, "text/html").body);
      sayRenewed("on", "Live");
    });
    stream.addEventListener("late", () => say("away", "The database takes long to answer"));
    stream.addEventListener("error", () => {
      // The browser tries again by itself, unless it was told that there is nothing.
      if (stream?.readyState !== EventSource.CLOSED) return say("away", "Not connected; trying again");
      stream = null;
      ask();
    });
  };

  // Without a stream: the page again.
  const ask = async () => {
    sayRenewed("asking", "Renewed every few seconds");
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      // Logged out, or gone: the whole page says so.
      if (answer.redirected || [401, 403, 404].includes(answer.status)) return location.reload();
      if (answer.ok) {
        take(new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main"));
        sayRenewed("asking", "Renewed every few seconds");
      } else say("away", "The service does not answer; trying again");
    } catch {
      say("away", "Not connected; trying again");
    }
    asking = setTimeout(document.hidden ? () => {} : listen, ASK_AGAIN_MS);
  };

  // Nobody looks at a hidden page, and browsers open only few streams to one server.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return listen();
    clearTimeout(asking);
    stream?.close();
    stream = null;
  });
  // A page that is left and comes back from the browser's memory.
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    stream = null;
    listen();
  });
  listen();
}
