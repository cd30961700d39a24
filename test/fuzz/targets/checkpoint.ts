/** Checkpoint files of every format: opened, listed, read, shown as a tree with every document, and verified. */
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { checkedRanges, fileStructure } from '../../../src/checkpoint/file-structure.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { verifyCheckpoint } from '../../../src/checkpoint/verify.ts';
import { OpenedCheckpoint } from '../../../src/index.ts';
import { expect, OPENED, type Outcome, refusal } from '../judge.ts';
import { mutateBytes } from '../mutate/bytes.ts';
import { mutateLegacy, mutateSafetensors, mutateTar } from '../mutate/containers.ts';
import { mutatePickle } from '../mutate/pickle.ts';
import { mutateZip } from '../mutate/zip.ts';
import type { Random } from '../random.ts';
import type { Mutant, Scene, Target } from '../target.ts';
import { lookAround } from './look-around.ts';

export const checkpointTarget: Target = {
  name: 'checkpoint',
  weight: 60,
  make(random, corpus): Mutant {
    const seed = random.pick(corpus.files);
    const bytes = mutate(random, seed.name, seed.bytes);
    return { label: seed.name, bytes, drive: (scene) => drive(scene, basename(seed.name), bytes) };
  },
};

function mutate(random: Random, name: string, bytes: Buffer): Buffer {
  if (bytes.toString('latin1', 0, 2) === 'PK') return mutateZip(random, bytes);
  if (name.endsWith('.safetensors')) return mutateSafetensors(random, bytes);
  if (bytes.toString('latin1', 257, 262) === 'ustar' || name.endsWith('.tar'))
    return mutateTar(random, bytes);
  if (isLegacy(bytes)) return mutateLegacy(random, bytes);
  return random.once(2) ? mutatePickle(random, bytes) : mutateBytes(random, bytes);
}

/** The first pickle is torch's magic number: of protocol 2 and later, or 0 and 1. */
function isLegacy(bytes: Buffer): boolean {
  return bytes[0] === 0x80 || bytes.toString('latin1', 0, 2) === 'L1';
}

async function drive({ folder, clock }: Scene, name: string, bytes: Buffer): Promise<Outcome> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  let checkpoint: Checkpoint;
  try {
    checkpoint = await clock.run('open', () => openCheckpoint(path));
  } catch (cause) {
    return refusal(cause, path);
  }
  try {
    for (const warning of checkpoint.warnings) refusal(warning, path);
    await clock.run('library', () => readSome(checkpoint));
    await clock.run('structure', () => {
      const { identity } = fileStructure(checkpoint);
      for (const { offset, length } of [...identity, ...checkedRanges(checkpoint)]) {
        expect(offset >= 0 && length >= 0 && offset + length <= bytes.length, () => {
          return `structure: ${length} bytes at ${offset} of a file of ${bytes.length}`;
        });
      }
    });
    await lookAround(checkpoint, clock);
    await clock.run('verify', () => verifyCheckpoint(checkpoint));
  } catch (cause) {
    // Bytes that cannot be had are an error of the read, not of the opening.
    return refusal(cause);
  } finally {
    await checkpoint.close();
  }
  return OPENED;
}

const TENSORS_READ = 8;
const BYTES_READ = 64 * 1024;

/** Beginning and end of the first tensors and of the last one. */
async function readSome(checkpoint: Checkpoint): Promise<void> {
  const library = new OpenedCheckpoint(checkpoint, { cacheBytes: 16 << 20 });
  const { tensors } = library;
  for (const { name } of [...tensors.slice(0, TENSORS_READ), ...tensors.slice(-1)]) {
    // Of several tensors with one name the first is read.
    const info = library.get(name);
    expect(info !== undefined, () => `a tensor that is listed is not found: ${name}`);
    const { nbytes } = info;
    expect(Number.isSafeInteger(nbytes) && nbytes >= 0, () => `${name}: ${nbytes} bytes`);
    for (const offset of new Set([0, Math.max(0, nbytes - BYTES_READ)])) {
      const length = Math.min(BYTES_READ, nbytes - offset);
      try {
        const bytes = await library.read(name, { offset, length });
        expect(bytes.length === length, () => `${name}: ${bytes.length} bytes of ${length}`);
      } catch (cause) {
        refusal(cause);
      }
    }
  }
}
