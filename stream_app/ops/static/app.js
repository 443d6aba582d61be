// The page: asks the worker for its document once a second and draws it. When the worker does not answer, says so and greys what is old.

import { Chart } from "./chart.js";
import { el, empty, show } from "./dom.js";
import { NONE, count, milliseconds, moment, number, oneIn, percent, rate, span } from "./format.js";

const EVERY_MS = 1000;
const GIVE_UP_MS = 4000;
const STALE_MS = 4000;

const charts = {
  throughput: new Chart("throughput", { title: "Throughput", unit: "events/s", floor: 10, lines: [{ column: 1, name: "events a second", format: rate }] }),
  lag: new Chart("lag", { title: "Lag", unit: "events waiting", floor: 100, lines: [{ column: 2, name: "waiting", format: count }] }),
  latency: new Chart("latency", {
    title: "Latency", unit: "ms", floor: 10,
    lines: [{ column: 3, name: "median", key: "P50", format: milliseconds }, { column: 4, name: "99th percentile", key: "P99", format: milliseconds }],
  }),
};

const model = (ref) => (ref ? `${ref.name} ${ref.version}` : "no model");
const digest = (ref) => el("code", { title: `sha256 ${ref.sha256}` }, ref.sha256.slice(0, 12));
const time = (text, now) => el("time", { datetime: text, title: text }, moment(text, now));
const prose = (sentence) => sentence.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part)); // commands stand in backticks
const words = (name) => name.replaceAll("_", " ");

function drawStatus(state, now) {
  document.body.dataset.level = state.verdict.level;
  document.body.classList.toggle("away", state.silent_since != null);
  document.title = `${state.verdict.level === "good" || state.verdict.level === "idle" ? "" : "(!) "}stream-app · ${state.worker}`;
  show("sentence", state.verdict.sentence, prose);
  show("wrong", state.wrong, (sentences) => sentences.map((sentence) => el("li", {}, ...prose(sentence))));
  show("announcement", state.verdict.level, () => state.verdict.sentence);
  const { scored, anomalies, dead_lettered } = state.totals;
  show("since-start", [scored, anomalies, dead_lettered], () => [
    scored ? `Since start: ${count(scored)} events scored, ${count(anomalies)} anomalies among them (${number((anomalies / scored) * 100)} %)` : "Nothing scored since start",
    dead_lettered ? `, ${count(dead_lettered)} records refused: see dead-letters.` : ", no record refused.",
  ]);
  show("here", [state.worker, moment(state.at, now)], ([worker, at]) => `Worker ${worker} · ${at}`);
}

function drawCharts(state) {
  const t = state.totals;
  const end = Math.max(Date.parse(state.at) / 1000 - 2, state.series.at(-1)?.[0] ?? 0);
  charts.throughput.update(state.series, [t.events_per_second], end);
  charts.lag.update(state.series, [state.silent_since ? null : t.lag], end);
  charts.latency.update(state.series, [t.latency_p50_ms, t.latency_p99_ms], end);
}

function drawTrial({ mode, model: tried, percent, frozen, guard }) {
  const what = { shadow: "Shadow", canary: `Canary, ${percent} %`, watch: "New, watched" }[mode];
  return [
    [what, el("span", {}, `${model(tried)} `, digest(tried))],
    [frozen ? "Guard (frozen)" : "Guard", guard ? guard.sentence : "nothing yet"],
  ];
}

function drawModel(serving, trial, now) {
  if (!serving.model) {
    return empty("No model serves yet.", "Train one and deploy it: ", el("code", {}, "stream-app train DATA --out MODEL"), " then ", el("code", {}, "stream-app deploy MODEL"));
  }
  const facts = [
    ["Digest", digest(serving.model)],
    ["Serving since", serving.since ? time(serving.since, now) : NONE],
    ["Previous", serving.previous ? el("span", {}, `${model(serving.previous)} `, digest(serving.previous)) : "none: there is nothing to roll back to"],
    ...(trial ? drawTrial(trial) : []),
  ];
  return [
    el("p.serving", {}, serving.model.name, el("span.version", {}, serving.model.version)),
    el("dl.facts", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
  ];
}

function drawRollout(events, now) {
  if (!events.length) return empty("No change lately.", "What workers answer to a deploy or a rollback appears here: staged, rejected and why, applied.");
  return el("ol.events", {}, ...events.slice(0, 6).map((event) => el(`li.${event.phase}`, {}, time(event.at, now),
    el("span", {}, el("b", {}, event.phase), ` ${event.serving ? model(event.serving) : ""} on ${event.worker}`, event.reason ? `: ${event.reason}` : ""))));
}

const PRESENCE = { live: "live", lost: "lost", stopped: "stopped", unheard: "not heard of" };

function workerRow({ id, here, presence, ago, serving, vitals }) {
  const away = presence !== "live";
  const look = presence === "live" && !vitals.ready ? "unready" : presence;
  const lag = vitals.partitions.reduce((sum, entry) => sum + entry.lag, 0);
  const says = presence === "live" ? (here ? "this worker" : vitals.ready ? "ready" : "not ready") : `${PRESENCE[presence]} for ${ago}`;
  const link = /^https?:\/\//.test(vitals.web_url) && !here && !away;
  const cell = (name, value, kind = "td.number") => el(kind, { "data-name": name }, value);
  return el(away ? "tr.away" : "tr", {},
    el("td", {}, el(`span.presence.${look}`, {}, link ? el("a", { href: vitals.web_url }, id) : id),
      el(`span.sub.indent${presence === "lost" ? ".says-lost" : ""}`, {}, says)),
    cell("Partitions", vitals.partitions.map((entry) => entry.partition).join(", ") || "none", "td.partitions"),
    cell("Model", serving ? model(serving) : NONE, "td"),
    cell("Events/s", away ? NONE : rate(vitals.events_per_second)),
    cell("Waiting", away || !vitals.partitions.length ? NONE : count(lag)),
    cell("P99 ms", away ? NONE : milliseconds(vitals.latency_p99_ms)),
    cell("Refused", count(vitals.dead_lettered)));
}

function drawWorkers(workers) {
  const head = [["Worker"], ["Partitions"], ["Model"], ["Events/s", 1], ["Waiting", 1], ["P99 ms", 1], ["Refused", 1]];
  return el("table", {},
    el("thead", {}, el("tr", {}, ...head.map(([name, numeric]) => el(numeric ? "th.number" : "th", { scope: "col" }, name)))),
    el("tbody", {}, ...workers.map(workerRow)));
}

/** What the address asks for: `#anomaly/ID` is one of them, `#entity/ID` those of an entity. */
function selection() {
  const [, kind, id] = /^#(anomaly|entity)\/(.+)$/.exec(location.hash) ?? [];
  try {
    return kind ? { kind, id: decodeURIComponent(id) } : null;
  } catch {
    return null;
  }
}

function reason({ feature, share }, text) {
  const fill = el("i");
  fill.style.width = `${Math.round(share * 100)}%`;
  return el("li", {},
    el("span.feature", { title: feature }, words(feature)),
    el("span.bar", { "aria-hidden": "true" }, fill),
    el("span.share", { title: "part of the score" }, percent(share)),
    el("span.instead", {}, text));
}

function anomaly({ anomaly: a, fraud, fields, reasons }, now) {
  const told = fraud == null ? null : el(fraud ? "span.told.fraud" : "span.told", {}, fraud ? "confirmed fraud" : "was legitimate");
  return el("li.anomaly", {},
    el("div", {},
      el("div.top", {}, el(`span.severity.${a.severity}`, {}, el("i", { "aria-hidden": "true" }, el("b"), el("b"), el("b")), a.severity), told),
      el("h3", {}, el("a", { href: `#anomaly/${encodeURIComponent(a.anomaly_id)}` }, `Event ${a.event_id}`)),
      el("p.who", {}, "entity ", el("a", { href: `#entity/${encodeURIComponent(a.entity)}` }, a.entity)),
      fields.length ? el("p.who", {}, fields.join(", ")) : null,
      el("p.who", {}, time(a.event_time, now)),
      el("p.who", { title: `score ${number(a.score)}, threshold ${number(a.threshold)}, model ${model(a.model)}, ${a.anomaly_id}` },
        `${number(a.score / a.threshold)} × the threshold, as rare as ${oneIn(a.p_value)}`)),
    el("ul.reasons", { "aria-label": "Reasons" }, ...a.explanation.map((entry, i) => reason(entry, reasons[i]))));
}

function drawAnomalies({ anomalies, chosen, most }, now) {
  if (anomalies.length) {
    const more = chosen?.kind === "anomaly" ? el("p.more", {}, "With its receipt and the entity’s latest events: ", el("code", {}, `stream-app show ${chosen.id}`)) : null;
    return [el("ol", {}, ...anomalies.slice(0, chosen ? anomalies.length : most).map((shown) => anomaly(shown, now))), ...(more ? [more] : [])];
  }
  if (chosen) return empty("Not among the latest anomalies.", "This page remembers some thousand. For older ones: ", el("code", {}, `stream-app show ${chosen.id}`));
  return empty("No anomaly yet.", "Each event over the model’s threshold appears here with its reasons. If nothing comes in, publish some: ", el("code", {}, "stream-app produce DATA"));
}

function drawChosen(chosen) {
  if (!chosen) return "Latest anomalies";
  return [chosen.kind === "anomaly" ? "One anomaly " : `Anomalies of entity ${chosen.id} `, el("a.aside", { href: "#latest" }, "show the latest")];
}

function drawPrecision({ precision, labelled, frauds }) {
  if (precision == null) return "";
  return ` ${percent(precision)} of those with a label were fraud (${count(frauds)} of ${count(labelled)})`;
}

function alertItem({ alert: a, at }, serving, now) {
  const left = serving && a.model.sha256 !== serving.sha256 ? "the model no longer serves" : "";
  const over = left || (a.phase === "over" ? a.over_because || "every signal is back where it was" : "");
  const signals = a.signals.slice(0, 4).map((s) => el("li", {}, el("span", {}, words(s.signal.replace(":", " "))), el("span", {}, `${s.shift > 0 ? "+" : ""}${number(s.shift)} sd`)));
  return el(`li.alert.${over ? "info" : a.severity}`, {},
    el("p", {}, el("span.level", {}, a.severity), " ", el("span.when", {}, "raised ", time(at, now), over ? `, over: ${over}` : "")),
    el("p.cause", {}, a.cause),
    a.swap && over ? null : el("p.action", {}, a.action),
    el("ul.signals", { "aria-label": "Signals that moved, in standard deviations" }, ...signals,
      el("li", {}, el("span", {}, "alert rate"), el("span", {}, `${number(a.alert_rate_before * 100)} % → ${number(a.alert_rate_now * 100)} %`))),
    el("p.when", {}, "began at event time ", time(a.since, now)));
}

function drawAlerts(alerts, serving, now) {
  if (alerts.length) return el("ol", {}, ...alerts.slice(0, 5).map((raised) => alertItem(raised, serving, now)));
  return empty("No drift alert.", "When the stream moves away from the data that the model was trained on, this says what moved, the likely cause, and what to do.");
}

function draw(state) {
  const now = new Date(state.at);
  const today = state.at.slice(0, 10);
  drawStatus(state, now);
  drawCharts(state);
  show("model", { model: state.model, trial: state.trial, today }, (data) => drawModel(data.model, data.trial, now));
  show("rollout", { events: state.rollout, today }, (data) => drawRollout(data.events, now));
  const workers = state.workers.map((worker) => ({ ...worker, heard_at: undefined, ago: worker.presence === "live" ? "" : span((now - new Date(worker.heard_at)) / 1000) }));
  show("workers", workers, drawWorkers);
  const chosen = selection();
  show("anomalies", { anomalies: state.anomalies, chosen, most: narrow.matches ? 6 : 12, today }, (data) => drawAnomalies(data, now));
  show("which", chosen, drawChosen);
  show("precision", { precision: state.precision, labelled: state.labelled, frauds: state.frauds }, drawPrecision);
  show("alerts", { alerts: state.alerts, serving: state.model.model, today }, (data) => drawAlerts(data.alerts, data.serving, now));
}

const narrow = matchMedia("(max-width: 900px)");
let answered = null;
let turn = 0;
let next = 0;

function drawConnection() {
  const lost = document.getElementById("lost");
  const stale = answered != null ? Date.now() - answered > STALE_MS : Date.now() - opened > STALE_MS;
  document.body.classList.toggle("stale", stale && answered != null);
  if (stale === !lost.hidden) return;
  lost.hidden = !stale;
  lost.textContent = !stale ? "" : answered == null
    ? "The worker does not answer. Is it running? stream-app worker"
    : `The worker has not answered since ${new Date(answered).toISOString().slice(11, 19)}. The figures below are from then. Trying again every second.`;
  if (stale) document.title = "(!) no answer · stream-app";
}

const opened = Date.now();

async function json(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(GIVE_UP_MS) });
  if (response.status === 401) location.reload(); // the token is another one: the form comes up
  if (!response.ok) throw new Error(`the worker answered ${response.status}`);
  return response.json();
}

/** Ask and draw, then again in a second. A new choice starts at once, and the answer to the one before is not drawn any more. */
async function ask() {
  const mine = ++turn;
  clearTimeout(next);
  try {
    const chosen = selection();
    const query = chosen && new URLSearchParams({ [chosen.kind === "anomaly" ? "id" : "entity"]: chosen.id });
    const [state, found] = await Promise.all([json("api/state"), chosen ? json(`api/anomalies?${query}`) : {}]);
    if (mine !== turn) return;
    draw({ ...state, ...found });
    answered = Date.now();
  } catch (error) {
    console.warn(error);
  }
  if (mine !== turn) return;
  drawConnection();
  next = setTimeout(ask, document.hidden ? EVERY_MS * 5 : EVERY_MS);
}

function choose() {
  const chosen = selection();
  document.getElementById("entity").value = chosen?.kind === "entity" ? chosen.id : "";
  if (chosen) document.getElementById("anomalies-title").scrollIntoView({ block: "start" });
  ask();
}

document.getElementById("entity").addEventListener("change", ({ target }) => {
  location.hash = target.value.trim() ? `entity/${encodeURIComponent(target.value.trim())}` : "latest";
});
addEventListener("hashchange", choose);
document.addEventListener("visibilitychange", drawConnection);
choose();
