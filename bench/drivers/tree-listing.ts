/**
 * The tree that MLFS shows of a subject, written down once: the peers of a walk show the same names and sizes. It is taken from a mount, so it
 * follows whatever MLFS shows.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { CLI } from '../programs.ts';
import { serve } from '../served.ts';
import type { Subject } from '../subject.ts';

const run = promisify(execFile);

export interface TreeListing {
  /** Lines of type, size and path below /model, with tabs between them, a folder before what is in it. */
  readonly path: string;
  /** Paths of the first 20,000 files with bytes, a line each. */
  readonly files: string;
  /** How many those are. */
  readonly fileCount: number;
  /** Number of files and folders. */
  readonly entries: number;
}

const MOST_FILES = 20_000;

const listings = new WeakMap<Subject, Promise<TreeListing>>();

/** The files are beside the checkpoint, and are removed with it. */
export function treeListing(subject: Subject): Promise<TreeListing> {
  const made = listings.get(subject) ?? makeListing(subject);
  listings.set(subject, made);
  return made;
}

async function makeListing(subject: Subject): Promise<TreeListing> {
  const listing = `${subject.path}.listing`;
  const served = await serve({
    program: process.execPath,
    args: [CLI, 'mount', '--foreground', '--read-only', subject.path, '%MOUNTPOINT%'],
  });
  try {
    const model = path.join(served.mountpoint, 'model');
    await run('find', [model, '-mindepth', '1', '-fprintf', listing, '%y\\t%s\\t%P\\n']);
  } finally {
    await served.end();
  }
  const lines = (await readFile(listing, 'utf8')).trimEnd().split('\n');
  const files = lines.flatMap((line) => {
    const [type, size, file] = line.split('\t');
    return type === 'f' && size !== '0' && file !== undefined ? [file] : [];
  });
  files.splice(MOST_FILES);
  await writeFile(`${listing}.files`, files.map((file) => `${file}\n`).join(''));
  return { path: listing, files: `${listing}.files`, fileCount: files.length, entries: lines.length };
}

/** The lines of a listing. */
export async function* entriesOf(listing: TreeListing): AsyncGenerator<{
  readonly folder: boolean;
  readonly size: number;
  readonly path: string;
}> {
  for (const line of (await readFile(listing.path, 'utf8')).trimEnd().split('\n')) {
    const [type, size, file] = line.split('\t');
    if (file !== undefined) yield { folder: type === 'd', size: Number(size), path: file };
  }
}
