import { isAbsolute } from 'node:path';
import { MlfsError } from '../errors.ts';

/** The commands of /sys/control, one a line. */
export type ControlCommand =
  | { readonly name: 'commit'; readonly dryRun: boolean }
  | {
      readonly name: 'commit-to';
      readonly path: string;
      readonly overwrite: boolean;
      readonly dryRun: boolean;
    }
  | { readonly name: 'discard' | 'flush' | 'reload' | 'status' };

const WORDS = 'commit [--dry-run] [--force] [--to /absolute/path], discard, flush, reload, status';

/**
 * Parses one line. The path of `--to` is the rest of the line, spaces included, or a JSON string when it begins with `"`. Throws
 * ERR_MLFS_USAGE that names the word.
 */
export function parseControl(line: string): ControlCommand {
  const [, name = '', rest = ''] = /^\s*(\S*)\s*(.*?)\s*$/s.exec(line) ?? [];
  if (name === 'commit') return parseCommit(rest);
  if (name === 'discard' || name === 'flush' || name === 'reload' || name === 'status') {
    if (rest !== '') throw unknown(`${name} ${rest}`);
    return { name };
  }
  throw unknown(name);
}

/** The line that `parseControl` reads back. */
export function controlLine(command: ControlCommand): string {
  if (command.name !== 'commit' && command.name !== 'commit-to') return command.name;
  const words = ['commit'];
  if (command.dryRun) words.push('--dry-run');
  if (command.name === 'commit-to') {
    if (command.overwrite) words.push('--force');
    words.push('--to', JSON.stringify(command.path));
  }
  return words.join(' ');
}

function parseCommit(text: string): ControlCommand {
  let dryRun = false;
  let overwrite = false;
  let rest = text;
  while (rest !== '') {
    const [whole, word = ''] = /^(\S+)\s*/.exec(rest) ?? [rest];
    rest = rest.slice(whole.length);
    if (word === '--dry-run') dryRun = true;
    else if (word === '--force') overwrite = true;
    else if (word === '--to') return { name: 'commit-to', path: pathOf(rest), overwrite, dryRun };
    else throw unknown(`commit ${word}`);
  }
  if (overwrite) throw unknown('commit --force without --to');
  return { name: 'commit', dryRun };
}

function pathOf(text: string): string {
  const path = text.startsWith('"') ? fromJson(text) : text;
  if (isAbsolute(path) && !path.includes('\0')) return path;
  throw new MlfsError('ERR_MLFS_USAGE', `commit --to ${text}: is not an absolute path`, {
    advice: 'commit --to /absolute/path/of/NEW.pt',
  });
}

function fromJson(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : '';
  } catch (cause) {
    throw new MlfsError('ERR_MLFS_USAGE', `commit --to ${text}: is not a JSON string`, { cause });
  }
}

function unknown(what: string): MlfsError {
  return new MlfsError(
    'ERR_MLFS_USAGE',
    `${what === '' ? 'an empty line' : what}: is not a command of /sys/control`,
    {
      advice: WORDS,
    },
  );
}
