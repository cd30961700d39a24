import { withUnit } from './figures.ts';
import { byMetric, type RunReport } from './run-report.ts';

const WIDTH = 860;
const LABELS = 130;
const FIGURES = 190;
const BAR = 16;
const GAP = 5;
const TITLE = 30;
const COLOURS: readonly [startsWith: string, colour: string][] = [
  ['native', '#7a8594'],
  ['c-loop', '#b9a37a'],
  ['mlfs view', '#1d4f86'],
  ['mlfs kernel', '#2f6fb0'],
  ['mlfs fuse-native', '#8db8de'],
];
const OTHER_COLOUR = '#c8cdd3';

/** One panel of horizontal bars for each headline figure, the whisker from the least to the most, as an SVG document. */
export function asSvg(report: RunReport): string {
  const parts: string[] = [];
  let y = 12;
  for (const group of byMetric(report.rows.filter((row) => row.metric.headline))) {
    const rows = group.flatMap((row) => (row.summary ? [{ ...row, summary: row.summary }] : []));
    const first = rows[0];
    if (!first) continue;
    const most = Math.max(...rows.map((row) => row.summary.max)) || 1;
    const scale = (value: number) => (value / most) * (WIDTH - LABELS - FIGURES);
    const note = first.metric.better === 'lower' ? ' (less is better)' : '';
    y += TITLE;
    parts.push(text(0, y - 10, `${first.metric.title}, ${first.metric.unit}${note}`, 'title'));
    for (const row of rows) {
      const { median, min, max } = row.summary;
      const middle = y + BAR / 2;
      parts.push(
        text(LABELS - 8, middle + 4, row.driver, 'label'),
        `<rect x="${LABELS}" y="${y}" width="${scale(median).toFixed(1)}" height="${BAR}" fill="${colourOf(row.driver)}"/>`,
        `<path class="whisker" d="M${(LABELS + scale(min)).toFixed(1)} ${middle}H${(LABELS + scale(max)).toFixed(1)}"/>`,
        text(LABELS + scale(max) + 8, middle + 4, withUnit(median, row.metric), 'figure'),
      );
      y += BAR + GAP;
    }
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 ${WIDTH + 24} ${y + 16}" font-family="sans-serif" font-size="12">`,
    '<style>.title{font-weight:bold;font-size:13px}.label{text-anchor:end}.whisker{stroke:#222;stroke-width:1}</style>',
    `<rect x="-12" y="0" width="${WIDTH + 24}" height="${y + 16}" fill="#fff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function text(x: number, y: number, content: string, className: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text class="${className}" x="${x.toFixed(1)}" y="${y.toFixed(1)}">${escaped}</text>`;
}

function colourOf(driver: string): string {
  return COLOURS.find(([start]) => driver.startsWith(start))?.[1] ?? OTHER_COLOUR;
}
