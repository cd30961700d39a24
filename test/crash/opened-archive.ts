/** An archive on a simulated medium, opened for editing as `WritableCheckpoint` opens one on the disk. */
import type { Checksums } from '../../src/storage/checksums.ts';
import { Edits, type EditsLimits } from '../../src/storage/edits.ts';
import { Image, type ImageBase } from '../../src/storage/image.ts';
import type { MediumFile } from '../../src/storage/medium.ts';
import { StateDirectory } from '../../src/storage/state-directory.ts';
import { structureOfArchive } from './archive-structure.ts';
import type { SampleArchive } from './archives.ts';
import { SimulatedMedium } from './simulated-medium.ts';

const FOLDER = '/disk';
const NAME = 'model.pt';
export const CHECKPOINT = `${FOLDER}/${NAME}`;

export function mediumWith(archive: SampleArchive): SimulatedMedium {
  return SimulatedMedium.holding({ [CHECKPOINT]: archive.bytes });
}

export interface Opened {
  readonly edits: Edits;
  readonly image: Image;
  readonly checksums: Checksums;
  /** The image with its checksums, as an export shows it. */
  exported(): Promise<Buffer>;
  close(): Promise<void>;
  /** The process is gone: what it held is free. */
  die(): Promise<void>;
}

/** Locates, recovers and attaches; whatever fails, nothing stays locked. A copy of a medium whose lock is taken is opened in another folder. */
export async function openArchive(
  medium: SimulatedMedium,
  options: EditsLimits = {},
  folder = FOLDER,
): Promise<Opened> {
  const path = `${folder}/${NAME}`;
  const state = await StateDirectory.locate(medium, path, { directory: `${path}.mlfs` });
  try {
    const edits = await Edits.recover(medium, path, state, options);
    const base = await SimulatedBase.open(medium, path);
    if (edits.interruptedCommit) {
      await edits.finishInterrupted(base, await structureOfArchive(new Image(base)));
    }
    const image = new Image(base);
    const structure = await structureOfArchive(image);
    await edits.attach(image, structure);
    return {
      edits,
      image,
      checksums: structure.checksums,
      exported: async () => {
        const bytes = await image.read(0, image.size);
        for (const patch of structure.checksums.patches()) patch.bytes.copy(bytes, patch.offset);
        return bytes;
      },
      close: async () => {
        await edits.close();
        await image.close();
      },
      die: () => release(state),
    };
  } catch (cause) {
    await release(state);
    throw cause;
  }
}

/** A dead process has no lock; within this one it has to be let go by hand. */
async function release(state: StateDirectory): Promise<void> {
  // Its medium has no power any more, so all else that closing does fails.
  await state.close().catch(() => undefined);
}

class SimulatedBase implements ImageBase {
  readonly path: string;
  readonly fd = undefined;
  readonly size: number;
  readonly #medium: SimulatedMedium;
  readonly #file: MediumFile;

  private constructor(medium: SimulatedMedium, file: MediumFile, size: number) {
    this.path = file.path;
    this.#medium = medium;
    this.#file = file;
    this.size = size;
  }

  static async open(medium: SimulatedMedium, path: string): Promise<SimulatedBase> {
    const file = await medium.open(path, 'read');
    return new SimulatedBase(medium, file, await file.size());
  }

  get fingerprint() {
    return { dev: 1n, ino: 1n, size: this.size, mtimeNs: 1n };
  }

  async refresh(): Promise<void> {
    await this.#file.size();
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.#file.read(offset, length);
  }

  readNow(offset: number, length: number): Buffer {
    const bytes = this.#medium.bytesOf(this.path);
    if (bytes === undefined) throw new Error('the checkpoint is gone');
    return Buffer.from(bytes.subarray(offset, offset + length));
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
