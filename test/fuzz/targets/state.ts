/**
 * State directories that somebody changed: opening the checkpoint for writing replays what is in them. Whatever a journal says, the file keeps
 * its size, its pickles, names and headers; and a journal without a commit mark writes nothing.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileStructure } from '../../../src/checkpoint/file-structure.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import type { Corpus } from '../corpus.ts';
import { expect, OPENED, type Outcome, refusal } from '../judge.ts';
import { mutateState, type StateFiles } from '../mutate/journal.ts';
import { Random } from '../random.ts';
import type { Scene, Target } from '../target.ts';

/** Which checkpoint, and how it is left: with edits, or between the decision to commit and its end. */
const SCENES = [
  { seed: 'torch-2.13/state-dict.pt', state: 'edited' },
  { seed: 'torch-2.13/state-dict.pt', state: 'committing' },
  { seed: 'torch-2.13/state-dict-piped.pt', state: 'committing' },
  { seed: 'torch-2.13/legacy-state-dict.pt', state: 'edited' },
  { seed: 'torch-2.13/all.safetensors', state: 'committing' },
] as const;
type SceneName = (typeof SCENES)[number];

export const stateTarget: Target = {
  name: 'state',
  weight: 7,
  make(random, corpus) {
    const which = random.pick(SCENES);
    // The directory names inode and time of the file, so what is drawn are the changes; they are made when it is there.
    const seed = random.next();
    return {
      label: `${which.seed} ${which.state} ${seed}`,
      bytes: Buffer.from(`${which.seed} ${which.state} ${seed}`),
      drive: (scene) => drive(scene, prepared(scene, which, corpus), new Random(seed, 0)),
    };
  },
};

interface Prepared {
  readonly path: string;
  readonly original: Buffer;
  readonly state: StateFiles;
  /** Bytes that a commit may change, one for each byte of the file. */
  readonly editable: Uint8Array;
  readonly committing: boolean;
}

const made = new Map<string, Promise<Prepared>>();

function prepared({ kept }: Scene, which: SceneName, corpus: Corpus): Promise<Prepared> {
  const key = `${which.seed} ${which.state}`;
  let preparing = made.get(key);
  if (preparing === undefined) {
    preparing = prepare(join(kept, createHash('sha1').update(key).digest('hex').slice(0, 8)), which, corpus);
    made.set(key, preparing);
  }
  return preparing;
}

async function prepare(folder: string, { seed, state }: SceneName, corpus: Corpus): Promise<Prepared> {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'model.pt');
  const original = corpus.files.find(({ name }) => name === seed)?.bytes as Buffer;
  writeFileSync(path, original);
  const opened = await WritableCheckpoint.open(path);
  const { image } = opened.checkpoint;
  const editable = editableBytes(opened.checkpoint);
  const places = editable
    .flatMap((may, offset) => (may === 1 ? [offset] : []))
    .filter((_, index) => index % 7 === 0);
  for (const offset of places.slice(0, 5)) {
    await image.update((update) => update.write(offset, Buffer.of((original[offset] ?? 0) ^ 0xff)));
  }
  await opened.edits.flush();
  const saved = join(folder, 'saved');
  const save = () => cpSync(`${path}.mlfs`, saved, { recursive: true });
  if (state === 'committing') {
    // The decision is durable before the first byte is written.
    let first = true;
    await opened.edits.commit({
      onProgress: () => {
        if (first) save();
        first = false;
      },
    });
  } else save();
  await opened.close();
  for (const { offset, bytes } of checksumFields(opened.checkpoint)) editable.fill(2, offset, offset + bytes);
  return {
    path,
    original,
    state: readState(saved),
    editable: Uint8Array.from(editable),
    committing: state === 'committing',
  };
}

type Opened = Awaited<ReturnType<typeof openCheckpoint>>;

/** 1 for the bytes of storages. */
function editableBytes({ image, storages }: Opened): number[] {
  const editable = Array<number>(image.size).fill(0);
  for (const { bytes } of storages.values()) {
    if (bytes.kind === 'extent') editable.fill(1, bytes.offset, bytes.offset + bytes.length);
  }
  return editable;
}

function checksumFields(checkpoint: Opened): { offset: number; bytes: number }[] {
  return Array.from(fileStructure(checkpoint).checksums.fields, (offset) => ({ offset, bytes: 4 }));
}

function readState(folder: string): StateFiles {
  const files = new Map<string, Buffer>();
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    if (statSync(join(folder, name)).isFile() && name !== 'lock')
      files.set(name, readFileSync(join(folder, name)));
  }
  return files;
}

async function drive({ clock }: Scene, preparing: Promise<Prepared>, random: Random): Promise<Outcome> {
  const { path, original, state, editable, committing } = await preparing;
  const directory = `${path}.mlfs`;
  rmSync(directory, { recursive: true, force: true });
  // In place: base.json names the inode.
  if (!readFileSync(path).equals(original)) writeFileSync(path, original);
  mkdirSync(directory, { mode: 0o700 });
  for (const [name, bytes] of mutateState(random, state)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, name), bytes, { mode: 0o600 });
  }
  try {
    return await clock.run('recover', () => openAndRead(path));
  } finally {
    const after = readFileSync(path);
    expect(
      after.length === original.length,
      () => `the file has ${after.length} bytes, not ${original.length}`,
    );
    for (let at = 0; at < after.length; at++) {
      if (after[at] === original[at]) continue;
      expect(editable[at] !== 0, () => `byte ${at} was written, which is of no storage and no checksum`);
      expect(committing, () => `byte ${at} was written though nobody had decided to commit`);
    }
    const beside = readdirSync(dirname(path)).filter(
      (name) => !['model.pt', 'model.pt.mlfs', 'saved'].includes(name),
    );
    expect(beside.length === 0, () => `files were made beside the checkpoint: ${beside.join(', ')}`);
  }
}

async function openAndRead(path: string): Promise<Outcome> {
  let opened: WritableCheckpoint;
  try {
    opened = await WritableCheckpoint.open(path);
  } catch (cause) {
    return refusal(cause, path);
  }
  try {
    const { image } = opened.checkpoint;
    const bytes = await image.read(0, image.size);
    expect(bytes.length === image.size, () => `${bytes.length} bytes of ${image.size} were read`);
  } catch (cause) {
    return refusal(cause);
  } finally {
    await opened.close();
  }
  const again = await openCheckpoint(path);
  await again.close();
  return OPENED;
}
