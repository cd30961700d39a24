import type { Row } from '../schedule.ts';
import type { Verdict } from '../targets.ts';
import { figure, ratio, withUnit } from './figures.ts';
import { byMetric, type RunReport } from './run-report.ts';

type Table = readonly (readonly string[])[];

const MOST_REASON = 60;
const RESULT_HEAD = ['what', 'who', 'median', 'least – most', 'to native', 'to best C loop'];
export const TARGET_HEAD = ['target', 'measured', 'reference', 'ratio or value', 'to reach', ''];

export function asText(report: RunReport): string {
  return [
    align([RESULT_HEAD, ...resultRows(report.rows)]),
    '',
    align([TARGET_HEAD, ...report.verdicts.map(targetRow)]),
    '',
  ].join('\n');
}

export function asMarkdown(report: RunReport): string {
  const { machine } = report;
  return [
    `Version ${report.version}, measured ${report.startedAt.slice(0, 10)} with \`${report.command}\`: ${report.rounds} rounds interleaved, medians;`,
    `tensor of ${figure(report.tensorBytes / 2 ** 20)} MiB; ${machine.processors}, ${machine.memoryGib} GiB,`,
    `${machine.kernel}, Node ${machine.node}; load average at the start ${machine.loadAverage[0]}.${tookOf(report)}`,
    '',
    markdown(TARGET_HEAD, report.verdicts.map(targetRow)),
    '',
    markdown(RESULT_HEAD, resultRows(report.rows)),
    '',
  ].join('\n');
}

function tookOf({ seconds = {} }: RunReport): string {
  const took = Object.entries(seconds);
  const minutes = took.reduce((sum, [, each]) => sum + each, 0) / 60;
  return took.length === 0
    ? ''
    : `\nThe run took ${minutes.toFixed(1)} minutes: ${took.map(([name, each]) => `${name} ${each} s`).join(', ')}.`;
}

function resultRows(rows: readonly Row[]): Table {
  return byMetric(rows).flatMap((group) => {
    const native = medianOf(group.find((row) => row.driver.startsWith('native')));
    const bestLoop = bestMedian(group.filter((row) => row.driver.startsWith('c-loop')));
    return group.map((row, at) => {
      const title = at === 0 ? row.metric.title : '';
      if (!row.summary) return [title, row.driver, oneLine(row.reason ?? '–'), '', '', ''];
      const { median, min, max } = row.summary;
      return [
        title,
        row.driver,
        withUnit(median, row.metric),
        `${figure(min)} – ${figure(max)}`,
        ratio(median, native),
        ratio(median, bestLoop),
      ];
    });
  });
}

/** The whole reason is in the JSON. */
function oneLine(reason: string): string {
  const line = reason.split('\n')[0] ?? '';
  return line.length > MOST_REASON ? `${line.slice(0, MOST_REASON - 1)}…` : line;
}

function medianOf(row: Row | undefined): number | undefined {
  return row?.summary?.median;
}

function bestMedian(rows: readonly Row[]): number | undefined {
  const medians = rows.flatMap((row) => row.summary?.median ?? []);
  if (medians.length === 0) return undefined;
  return rows[0]?.metric.better === 'lower' ? Math.min(...medians) : Math.max(...medians);
}

/** A verdict as a row of cells below TARGET_HEAD. */
export function targetRow(verdict: Verdict): string[] {
  return [
    verdict.what,
    figure(verdict.value),
    verdict.reference ? `${figure(verdict.reference.value)} (${verdict.reference.driver})` : '–',
    figure(verdict.figure),
    verdict.target,
    verdict.met ? 'met' : 'missed',
  ];
}

function align(table: Table): string {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => (row[column] ?? '').length)),
  );
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A table in Markdown. */
export function markdown(head: readonly string[], rows: Table): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}
