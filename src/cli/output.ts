/**
 * Everything that a command prints goes through here (and through `notice` and `printError`, for stderr), so that no text from a checkpoint
 * or a file name reaches the terminal unescaped. The only exception are tensor bytes: `mlfs cat` writes them unchanged.
 */
import { exactJson } from '../numbers/exact-json.ts';
import { visible, visibleJson, visibleLines } from '../visible-text.ts';
import { writeStdout } from './stdout.ts';

/** Prints a line on stdout. */
export function printLine(line: string): void {
  print(`${visible(line)}\n`);
}

/** Prints lines on stdout, each with its line feed: tables and documents of MLFS. Names in them must have gone through `visible`. */
export function printText(text: string): void {
  print(visibleLines(text));
}

/** Prints JSON on one line, where bigints are integers with all digits, or indented. */
export function printJson(value: unknown, indent?: number): void {
  const json = indent === undefined ? exactJson(value) : visibleJson(value, indent);
  print(`${json}\n`);
}

/** Prints text without a line feed, styled where stdout has colours; `style` are the SGR codes that begin and end it. */
export function printStyled(text: string, style: readonly [number, number] = BOLD): void {
  const shown = visible(text);
  print(colours(process.stdout) ? `\x1b[${style[0]}m${shown}\x1b[${style[1]}m` : shown);
}

const BOLD = [1, 22] as const;

/** Prints the lines of a table; the first one stands out. */
export function printTable(lines: readonly string[]): void {
  const [title = '', ...rows] = lines;
  printStyled(title);
  printText(`\n${rows.map((row) => `${row}\n`).join('')}`);
}

/** The stream keeps the order of writes that are not awaited. */
function print(text: string): void {
  void writeStdout(text);
}

/** Whether to colour the output to a stream: https://no-color.org. */
function colours(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}
