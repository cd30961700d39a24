/**
 * Node decodes the command line and the working directory as UTF-8 and replaces every invalid byte with U+FFFD. Such a path names no file,
 * or another file whose name really contains U+FFFD. /proc has the original bytes: an argument that is not UTF-8 is refused.
 */
import { isUtf8 } from 'node:buffer';
import { readFileSync, readlinkSync } from 'node:fs';
import { MlfsError } from '../errors.ts';
import { decodeName, hasRawBytes } from '../fuse/protocol/name-bytes.ts';

const REPLACEMENT = '\uFFFD';
const ADVICE = 'Give it a name in UTF-8, or reach it through a link that has one: ln -s -- FILE model.pt';

/** Throws ERR_MLFS_USAGE for a word that is not UTF-8. `argv`: the last words of the command line. */
export function refuseRawArguments(argv: readonly string[]): void {
  if (argv.some((word) => word.includes(REPLACEMENT))) {
    const words = lastWords(argv.length);
    argv.forEach((word, index) => {
      const bytes = words?.[index];
      if (!word.includes(REPLACEMENT) || (bytes !== undefined && isUtf8(bytes))) return;
      throw refusal(bytes === undefined ? word : spelled(bytes), ADVICE);
    });
  }
}

/**
 * Throws ERR_MLFS_USAGE when the working directory is not UTF-8 and a word, or the value of an option, may be a path that starts from it. `words`: a
 * command and its arguments.
 */
export function refuseRawFolder([command = '', ...words]: readonly string[]): void {
  const options = [...(command.startsWith('-') ? [command] : []), ...words];
  const end = options.includes('--') ? options.indexOf('--') : options.length;
  const paths = options.map((word, index) => (index < end ? valueIn(word) : word));
  const relative = paths.some((path) => path !== undefined && path !== '--' && !path.startsWith('/'));
  if (!relative || !process.cwd().includes(REPLACEMENT)) return;
  const folder = readlinkSync('/proc/self/cwd', { encoding: 'buffer' });
  if (!isUtf8(folder)) {
    throw refusal(
      `the working directory ${spelled(folder)}`,
      'Call mlfs from another folder, with absolute paths.',
    );
  }
}

/** What may be a path in a word: what follows `--option=` or `-o`, the one short option that has a value, or all of it. */
function valueIn(word: string): string | undefined {
  if (!word.startsWith('-')) return word;
  return /^(?:--[^=]*=|-[^-o]*o)(.+)$/s.exec(word)?.[1];
}

/** The bytes of the last words of this process's command line; undefined when they cannot be told. */
function lastWords(count: number): Buffer[] | undefined {
  let line: Buffer;
  try {
    line = readFileSync('/proc/self/cmdline');
  } catch {
    return undefined;
  }
  const words: Buffer[] = [];
  for (let at = 0; at < line.length; ) {
    const end = line.indexOf(0, at);
    const stop = end < 0 ? line.length : end;
    words.push(line.subarray(at, stop));
    at = stop + 1;
  }
  return words.length < count ? undefined : words.slice(words.length - count);
}

/** In the shell's $'…' notation: `caf\xe9.pt`. */
function spelled(bytes: Buffer): string {
  return Array.from(decodeName(bytes), (character) =>
    hasRawBytes(character) ? `\\x${(character.charCodeAt(0) & 0xff).toString(16)}` : character,
  ).join('');
}

function refusal(what: string, advice: string): MlfsError {
  return new MlfsError('ERR_MLFS_USAGE', `${what}: is not UTF-8, and MLFS reads paths as UTF-8`, { advice });
}
