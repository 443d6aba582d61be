// Small line charts as SVG: one or two lines over the last minutes, a gap where nobody was heard, the values under the pointer.

import { el, svg } from "./dom.js";

const MINUTES = 10;
const STEP_S = 2;

const HEIGHT = 120;
const BOTTOM = 18;
const TOP = 16;

/** A round number at or above value: 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * 0.999) * power;
}

/** Runs of neighbours: a new run after a missing value or a missing step. */
function runs(points, column) {
  const found = [];
  let last = null;
  for (const point of points) {
    if (point[column] == null) { last = null; continue; }
    if (last == null || point[0] - last > 2.5 * STEP_S) found.push([]);
    found.at(-1).push(point);
    last = point[0];
  }
  return found;
}

export class Chart {
  /** lines: [{column, name, key, format}], column in a series point; floor: smallest top of the axis. */
  constructor(id, { title, unit, lines, floor }) {
    this.figure = document.getElementById(id);
    Object.assign(this, { title, unit, lines, floor, points: [], end: 0, pointer: null });
    this.figures = el("p.figures");
    this.plot = el("div");
    this.figure.replaceChildren(el("figcaption", {}, el("span.name", {}, title), this.figures), this.plot);
    this.plot.addEventListener("pointermove", (event) => { this.pointer = event.clientX; this.draw(); });
    this.plot.addEventListener("pointerleave", () => { this.pointer = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  update(points, now, end) {
    Object.assign(this, { points, now, end });
    this.draw();
  }

  draw() {
    const width = this.plot.clientWidth;
    if (!width || !this.end) return;
    const begin = this.end - MINUTES * 60;
    const points = this.points.filter((point) => point[0] >= begin);
    const picked = this.pick(points, begin, width);
    this.write(picked);
    if (points.length < 2) {
      this.plot.replaceChildren(el("p.none", {}, "Waiting for the first heartbeats on model-status."));
      return;
    }
    this.plot.replaceChildren(this.picture(points, begin, width, picked));
  }

  pick(points, begin, width) {
    if (this.pointer == null || !points.length) return null;
    const at = begin + ((this.pointer - this.plot.getBoundingClientRect().left) / width) * MINUTES * 60;
    return points.reduce((best, point) => (Math.abs(point[0] - at) < Math.abs(best[0] - at) ? point : best));
  }

  write(picked) {
    const values = picked ? this.lines.map((line) => picked[line.column]) : this.now;
    this.figures.replaceChildren(...this.lines.map((line, i) => el("span.figure", {},
      line.key ? el(i ? "span.key.second" : "span.key", {}, line.key) : null,
      line.format(values[i]),
      i === this.lines.length - 1 ? el("span.unit", {}, this.unit) : null)));
  }

  picture(points, begin, width, picked) {
    const values = points.flatMap((point) => this.lines.map((line) => point[line.column] ?? 0));
    const top = ceiling(Math.max(this.floor, ...values));
    const height = this.plot.firstElementChild?.clientHeight || HEIGHT;
    const x = (at) => ((at - begin) / (MINUTES * 60)) * width;
    const y = (value) => TOP + (1 - value / top) * (height - TOP - BOTTOM);
    const image = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": this.describe(points) });
    for (const level of [0, 0.5, 1]) image.append(svg("line", { class: "grid", x1: 0, x2: width, y1: y(level * top), y2: y(level * top) }));
    this.lines.forEach((line, i) => this.line(image, points, line, i, x, y));
    image.append(svg("text", { x: 0, y: y(top) - 5 }, this.lines[0].format(top)));
    const ago = picked ? `${new Date(picked[0] * 1000).toISOString().slice(11, 19)}` : null;
    if (picked) {
      image.append(svg("line", { class: "cursor", x1: x(picked[0]), x2: x(picked[0]), y1: TOP, y2: y(0) }));
      image.append(svg("text", { x: Math.min(Math.max(x(picked[0]), 26), width - 26), y: height - 3, "text-anchor": "middle" }, ago));
    } else {
      image.append(svg("text", { x: 0, y: height - 3 }, `${MINUTES} min ago`), svg("text", { x: width, y: height - 3, "text-anchor": "end" }, "now"));
    }
    this.lines.forEach((line, i) => {
      const point = picked ?? points.at(-1);
      if (point[line.column] != null) image.append(svg("circle", { class: i ? "second" : "first", r: 4, cx: x(point[0]), cy: y(point[line.column]) }));
    });
    return image;
  }

  line(image, points, line, i, x, y) {
    for (const run of runs(points, line.column)) {
      const path = run.map((point) => `${x(point[0]).toFixed(1)},${y(point[line.column]).toFixed(1)}`).join("L");
      if (!i && this.lines.length === 1) image.append(svg("path", { class: "area", d: `M${x(run[0][0])},${y(0)}L${path}L${x(run.at(-1)[0])},${y(0)}Z` }));
      image.append(svg("path", { class: i ? "second" : "first", d: `M${path}` }));
    }
  }

  describe(points) {
    const parts = this.lines.map((line) => {
      const values = points.map((point) => point[line.column]).filter((value) => value != null);
      if (!values.length) return `${line.name}: nothing to show`;
      return `${line.name}: lowest ${line.format(Math.min(...values))}, highest ${line.format(Math.max(...values))}, last ${line.format(values.at(-1))}`;
    });
    return `${this.title}, last ${MINUTES} minutes, in ${this.unit}. ${parts.join(". ")}.`;
  }
}
