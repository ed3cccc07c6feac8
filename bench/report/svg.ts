/** Plots as SVG: bars with the range of the runs, and lines on logarithmic axes. They follow the reader's colour scheme. */
import type { Format } from "./format.ts";

const FONT = 'font-family="system-ui, sans-serif"';
const STYLE =
  "<style>text{fill:#24292f}.axis{stroke:#8c959f}.grid{stroke:#d0d7de}.range{stroke:#24292f}" +
  "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{stroke:#6e7681}.grid{stroke:#30363d}.range{stroke:#e6edf3}}</style>";

export interface Bar {
  label: string;
  value: number;
  least: number;
  most: number;
  color: string;
}

const BAR_HEIGHT = 18;
const BAR_STEP = 28;
const LABEL_WIDTH = 210;
const PLOT_WIDTH = 420;
const VALUE_WIDTH = 110;
const TITLE_HEIGHT = 34;

/** Horizontal bars from zero, each with its range as a line. */
export function barChart(title: string, bars: readonly Bar[], format: Format): string {
  const most = Math.max(...bars.map((bar) => bar.most), Number.MIN_VALUE);
  const x = (value: number): number => LABEL_WIDTH + (value / most) * PLOT_WIDTH;
  const rows = bars.map((bar, row) => {
    const top = TITLE_HEIGHT + row * BAR_STEP;
    const middle = top + BAR_HEIGHT / 2;
    return [
      text(LABEL_WIDTH - 8, middle, bar.label, 'text-anchor="end"'),
      `<rect x="${LABEL_WIDTH}" y="${top}" width="${round(x(bar.value) - LABEL_WIDTH)}" height="${BAR_HEIGHT}" rx="2" fill="${bar.color}"/>`,
      `<path class="range" d="M${round(x(bar.least))} ${middle}H${round(x(bar.most))}M${round(x(bar.least))} ${middle - 4}v8M${round(x(bar.most))} ${middle - 4}v8" fill="none"/>`,
      text(x(bar.most) + 8, middle, format(bar.value)),
    ].join("");
  });
  const height = TITLE_HEIGHT + bars.length * BAR_STEP + 6;
  return frame(LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH, height, title, rows);
}

export interface Line {
  label: string;
  color: string;
  /** At least one; x and y above 0. */
  points: readonly { x: number; y: number }[];
}

const LEFT = 70;
const TOP = 44;
const WIDTH = 520;
const HEIGHT = 300;
const LEGEND_WIDTH = 260;

/** Lines over two logarithmic axes, with a legend. */
export function lineChart(
  title: string,
  axes: { x: string; y: string; formatX: Format; formatY: Format },
  lines: readonly Line[],
): string {
  const points = lines.flatMap((line) => line.points);
  const x = scale(
    points.map((point) => point.x),
    LEFT,
    LEFT + WIDTH,
  );
  const y = scale(
    points.map((point) => point.y),
    TOP + HEIGHT,
    TOP,
  );
  const grid = [
    ...x.ticks.map((tick) => {
      const at = round(x.place(tick));
      const line = `<path class="grid" d="M${at} ${TOP}V${TOP + HEIGHT}"/>`;
      return line + text(at, TOP + HEIGHT + 16, axes.formatX(tick), 'text-anchor="middle"');
    }),
    ...y.ticks.map((tick) => {
      const at = round(y.place(tick));
      return `<path class="grid" d="M${LEFT} ${at}H${LEFT + WIDTH}"/>${text(LEFT - 8, at, axes.formatY(tick), 'text-anchor="end"')}`;
    }),
    text(LEFT + WIDTH / 2, TOP + HEIGHT + 38, axes.x, 'text-anchor="middle"'),
    text(LEFT, TOP - 14, axes.y),
  ];
  const drawn = lines.map((line, row) => {
    const path = line.points
      .map((point) => `${round(x.place(point.x))} ${round(y.place(point.y))}`)
      .join("L");
    const dots = line.points.map(
      (point) =>
        `<circle cx="${round(x.place(point.x))}" cy="${round(y.place(point.y))}" r="3" fill="${line.color}"/>`,
    );
    const key = TOP + row * 20;
    return [
      `<path d="M${path}" fill="none" stroke="${line.color}" stroke-width="2"/>`,
      ...dots,
      `<rect x="${LEFT + WIDTH + 20}" y="${key - 6}" width="12" height="12" fill="${line.color}"/>`,
      text(LEFT + WIDTH + 38, key, line.label),
    ].join("");
  });
  return frame(LEFT + WIDTH + LEGEND_WIDTH, TOP + HEIGHT + 54, title, [...grid, ...drawn]);
}

/** A logarithmic scale over the values, widened to powers of ten. */
function scale(values: readonly number[], from: number, to: number) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step));
  const place = (value: number): number => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
  return { ticks, place };
}

function frame(width: number, height: number, title: string, content: readonly string[]): string {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ${FONT} font-size="12" role="img">`;
  const name = `<title>${escapeText(title)}</title>${STYLE}${text(10, 14, title, 'font-size="14" font-weight="600"')}`;
  return `${[head, name, ...content, "</svg>"].join("\n")}\n`;
}

function text(x: number, y: number, content: string, more = ""): string {
  return `<text x="${round(x)}" y="${round(y)}" dy="0.35em" ${more}>${escapeText(content)}</text>`;
}

function escapeText(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
