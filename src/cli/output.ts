/**
 * Everything that a command prints goes through here (and through `notice` and `printError`, for stderr), so that nothing a checkpoint or a file name says gets to the
 * terminal as it is. Tensor bytes alone do not: `mlfs cat` writes those.
 */
import { exactJson } from '../numbers/exact-json.ts';
import { visible, visibleJson, visibleLines } from '../visible-text.ts';

/** A line on stdout. */
export function printLine(line: string): void {
  process.stdout.write(`${visible(line)}\n`);
}

/** Lines on stdout, each with its line feed: tables, and documents of MLFS's own. Names in them went through `visible` before. */
export function printText(text: string): void {
  process.stdout.write(visibleLines(text));
}

/** On one line, where a bigint is an integer with all its digits, or indented. */
export function printJson(value: unknown, indent?: number): void {
  const json = indent === undefined ? exactJson(value) : visibleJson(value, indent);
  process.stdout.write(`${json}\n`);
}

/** Text without a line feed that stands out where stdout has colours; `style` are the SGR codes that begin and end it. */
export function printStyled(text: string, style: readonly [number, number] = BOLD): void {
  const shown = visible(text);
  process.stdout.write(colours(process.stdout) ? `\x1b[${style[0]}m${shown}\x1b[${style[1]}m` : shown);
}

const BOLD = [1, 22] as const;

/** The lines of a table, the first of which stands out. */
export function printTable(lines: readonly string[]): void {
  const [title = '', ...rows] = lines;
  printStyled(title);
  printText(`\n${rows.map((row) => `${row}\n`).join('')}`);
}

/** Whether to colour what goes to a stream: https://no-color.org. */
function colours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}
