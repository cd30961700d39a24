/** Walks the tree of a checkpoint as a curious user would, and holds its names, sizes and documents to what a mount promises. */
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import type { DirectoryInode, FileInode, Inode } from '../../../src/inode.ts';
import { extentLength } from '../../../src/storage/extent.ts';
import { readExtents } from '../../../src/storage/read-extents.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { buildTree } from '../../../src/tree/build-tree.ts';
import { DECEPTIVE, expect, Fault, refusal, type Stopwatch } from '../judge.ts';

/** Files that are read: those of the small rooms all, of the others the first. */
const FILES_READ = 150;
const DIRECTORIES_LISTED = 300;
const BYTES_READ = 128 * 1024;
/** More code than this makes graphs in processes of their own, which have bounds of their own; the target "script" drives these parsers. */
const SMALL_PROGRAM_BYTES = 16 * 1024;
const LONGEST_NAME_BYTES = 255;

export async function lookAround(checkpoint: Checkpoint, clock: Stopwatch): Promise<void> {
  const { tree } = await clock.run('tree', () =>
    buildTree(checkpoint, {
      cache: new RenderedPages(16 << 20),
      version: 'test',
      log: new Log({ level: 'error' }),
      status: async () => ({}),
      metrics: () => '',
    }),
  );
  const programBytes = checkpoint.entries
    .filter(({ name }) => /\.(py|json)$/.test(name))
    .reduce((sum, { size }) => sum + size, 0);
  const waiting: { readonly place: string; readonly directory: DirectoryInode }[] = [
    { place: '', directory: tree.root },
  ];
  let directories = 0;
  let files = 0;
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (++directories > DIRECTORIES_LISTED) break;
    const { place, directory } = next;
    const children = await clock.run(`list ${place}`, () => [...directory.children]);
    for (const [name, inode] of children) {
      checkName(name, place);
      checkAttributes(inode, `${place}/${name}`);
      if (inode.kind === 'directory') waiting.push({ place: `${place}/${name}`, directory: inode });
      else if (place === '/ir' && name.startsWith('graph.') && programBytes > SMALL_PROGRAM_BYTES) continue;
      else if (files < FILES_READ || /^\/(sys|ir|export|viz)$/.test(place)) {
        files++;
        await clock.run(`read ${place}/${name}`, () => readFile(inode, `${place}/${name}`));
      }
    }
  }
}

function checkName(name: string, place: string): void {
  expect(
    name !== '' &&
      name !== '.' &&
      name !== '..' &&
      !/[/\0]/.test(name) &&
      Buffer.byteLength(name) <= LONGEST_NAME_BYTES,
    () => `${place}: a file is called ${JSON.stringify(name.slice(0, 300))}`,
  );
  expect(
    Buffer.from(name).toString() === name,
    () => `${place}: a name is no Unicode: ${JSON.stringify(name)}`,
  );
}

function checkAttributes({ mtimeMs, xattrs }: Inode, place: string): void {
  expect(Number.isFinite(mtimeMs), () => `${place}: mtime ${mtimeMs}`);
  for (const [name, value] of xattrs ?? []) {
    expect(typeof value === 'string' && value.length <= 65_536, () => `${place}: ${name} is ${typeof value}`);
  }
}

/** Reads the beginning and the end, which must have the size that a stat tells. */
async function readFile({ content }: FileInode, place: string): Promise<void> {
  try {
    switch (content.kind) {
      case 'extents':
      case 'rendered': {
        const { size } = content;
        expect(Number.isSafeInteger(size) && size >= 0, () => `${place}: size ${size}`);
        if (content.kind === 'extents') {
          const sum = content.extents.reduce((total, extent) => total + extentLength(extent), 0);
          expect(sum === size, () => `${place}: extents of ${sum} bytes, size ${size}`);
        }
        for (const offset of new Set([0, Math.max(0, size - BYTES_READ)])) {
          const length = Math.min(BYTES_READ, size - offset);
          const bytes =
            content.kind === 'extents'
              ? await readExtents(content.extents, offset, length)
              : await content.read(offset, length);
          expect(
            bytes.byteLength === length,
            () => `${place}: ${bytes.byteLength} bytes of ${length} at ${offset}, size ${size}`,
          );
          if (length === size) checkText(bytes, place);
        }
        return;
      }
      case 'snapshot': {
        const bytes = await content.make();
        const known = content.knownSize?.();
        expect(
          known === undefined || known === bytes.byteLength,
          () => `${place}: size ${known}, ${bytes.byteLength} bytes`,
        );
        checkText(bytes, place);
        return;
      }
      case 'live':
        await content.read(0, content.size());
        return;
      default:
        return;
    }
  } catch (cause) {
    refusal(cause);
  }
}

/** What MLFS writes about a checkpoint is text that a terminal may show, and JSON where the name says so. */
function checkText(bytes: Uint8Array, place: string): void {
  if (!/^\/(sys|views\/json)\//.test(place)) return;
  const text = Buffer.from(bytes).toString('utf8');
  const bad = DECEPTIVE.exec(text.replaceAll('\n', ''));
  expect(bad === null, () => `${place}: holds U+${bad?.[0].codePointAt(0)?.toString(16)} as it is`);
  if (!place.endsWith('.json')) return;
  try {
    JSON.parse(text);
  } catch (cause) {
    throw new Fault(`${place}: is not JSON: ${cause}`);
  }
}
