// Numbers and times as people read them. All times are UTC, as in the logs and on the topics.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: "UTC" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const dayAndYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

export const NONE = "–";

export const count = (value) => (value == null ? NONE : whole.format(value));

/** Three significant digits, fewer than one in ten thousand as such, thousands grouped. */
export function number(value) {
  if (value == null) return "missing";
  const size = Math.abs(value);
  if (size >= 1000) return whole.format(value);
  if (size > 0 && size < 0.001) return value.toExponential(1);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return new Intl.NumberFormat("en", { maximumFractionDigits: size < 0.1 ? 3 : digits }).format(value);
}

export const rate = (value) => (value == null ? NONE : value > 0 && value < 10 ? value.toFixed(1) : whole.format(value));

export const milliseconds = (value) => (value == null ? NONE : value < 10 ? value.toFixed(1) : whole.format(value));

export const percent = (share) => `${Math.round(share * 100)} %`;

export function moment(text, now) {
  const at = new Date(text);
  const sameDay = at.toISOString().slice(0, 10) === now.toISOString().slice(0, 10);
  if (sameDay) return clock.format(at);
  const date = at.getUTCFullYear() === now.getUTCFullYear() ? day : dayAndYear;
  return `${date.format(at)}, ${clock.format(at)}`;
}

export function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** One in how many legitimate events looks like this. */
export const oneIn = (p) => (p > 0 ? `1 in ${whole.format(Number((1 / p).toPrecision(2)))}` : "none");
