/**
 * Checks that a checkpoint holds the bytes that were written: the CRC-32 of every archive entry is compared with the central directory and the
 * data descriptor. Opening never does this, since it would read the whole file. Formats without checksums (safetensors, legacy files) can only be
 * checked for completeness: every storage must exist to its last byte.
 *
 * Large files are read by threads, others in slices of 1 MiB with one slice read ahead, so that memory stays flat and the event loop keeps running.
 */
import { MlfsError } from '../errors.ts';
import { crc32 } from '../storage/crc32.ts';
import { type DigestOptions, digestRuns, WORTH_THREADS_BYTES } from '../storage/digests.ts';
import { type DeflatedRun, PageInflater } from '../storage/page-inflater.ts';
import type { Checkpoint } from './checkpoint.ts';
import { lastAtMost } from './last-at-most.ts';
import { modelOf, nameTensors } from './model.ts';
import type { Storage } from './tensor.ts';
import { descriptorMatches } from './zip/descriptors.ts';
import type { ZipEntry } from './zip/entry.ts';

export interface VerifyProgress {
  /** Bytes read so far, and bytes to read in total. */
  readonly done: number;
  readonly total: number;
  /** The entry or storage being read. */
  readonly entry: string;
}

export interface VerifyOptions {
  readonly onProgress?: (progress: VerifyProgress) => void;
  readonly signal?: AbortSignal;
}

export interface VerifiedEntry {
  /** The archive entry, or the storage's key in formats without entries. */
  readonly entry: string;
  readonly size: number;
  /** The storage with these bytes; undefined for other records, and for an inner archive. */
  readonly storageKey: string | undefined;
  /** Names of the tensors that view the entry's bytes, as `mlfs ls` has them. */
  readonly tensors: readonly string[];
  /** CRC-32 according to the central directory, and of the bytes; undefined where it is missing or could not be computed. */
  readonly expected: number | undefined;
  readonly actual: number | undefined;
  /** Why the entry is bad; undefined if it is good. */
  readonly problem: string | undefined;
}

export interface VerifyReport {
  readonly ok: boolean;
  /** What was checked: checksums, or only completeness. */
  readonly checked: 'crc32' | 'structure';
  readonly bytes: number;
  readonly entries: readonly VerifiedEntry[];
}

const SLICE_BYTES = 1024 * 1024;

/** Reads everything and reports bad entries. Throws only the reason of an aborted `signal`. */
export async function verifyCheckpoint(
  checkpoint: Checkpoint,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const { signal, onProgress } = options;
  const names = tensorNames(checkpoint);
  const entries: VerifiedEntry[] = [];
  const archive = checkpoint.entries.length > 0;
  const total = archive
    ? checkpoint.entries.reduce((sum, entry) => sum + entry.compressedSize, 0)
    : checkpoint.storages.size;
  let done = 0;
  if (archive) {
    const storagesOf = storagesByEntry(checkpoint);
    const digests = await storedDigests(checkpoint, {
      onBytes: (bytes) => {
        signal?.throwIfAborted();
        done += bytes;
        onProgress?.({ done, total, entry: 'stored entries' });
      },
      ...(signal === undefined ? {} : { signal }),
    });
    for (const entry of checkpoint.entries) {
      const advance = (bytes: number) => {
        signal?.throwIfAborted();
        done += bytes;
        onProgress?.({ done, total, entry: entry.name });
      };
      const storages = storagesOf.get(entry) ?? [];
      entries.push({
        entry: entry.name,
        size: entry.size,
        storageKey: storages.length === 1 ? storages[0]?.key : undefined,
        tensors: storages.flatMap((storage) => names.get(storage) ?? []),
        ...(await verifyEntry(checkpoint, entry, digests.get(entry), advance)),
      });
    }
  } else {
    for (const storage of checkpoint.storages.values()) {
      signal?.throwIfAborted();
      onProgress?.({ done: ++done, total, entry: storage.key });
      entries.push({
        entry: storage.key,
        size: storage.nbytes,
        storageKey: storage.key,
        tensors: names.get(storage) ?? [],
        expected: undefined,
        actual: undefined,
        problem: await missingEnd(storage),
      });
    }
  }
  return {
    ok: entries.every(({ problem }) => problem === undefined),
    checked: archive ? 'crc32' : 'structure',
    bytes: archive ? total : entries.reduce((sum, { size }) => sum + size, 0),
    entries,
  };
}

/** CRC-32 of the stored entries, computed in threads if they are large enough. An entry that could not be read has none: reading it again says why. */
async function storedDigests(
  { image, entries }: Checkpoint,
  options: DigestOptions,
): Promise<ReadonlyMap<ZipEntry, number>> {
  const { fd } = image.base;
  const stored = entries.filter(({ method, size }) => method === 'stored' && size > 0);
  const bytes = stored.reduce((sum, { size }) => sum + size, 0);
  if (fd === undefined || !image.overlay.empty || bytes < WORTH_THREADS_BYTES) return new Map();
  const runs = stored.map(({ offset, size }) => ({ fd, offset, length: size }));
  const digests = await digestRuns('crc32', runs, options);
  const found = new Map<ZipEntry, number>();
  for (const [index, entry] of stored.entries()) {
    const digest = digests[index];
    if (digest !== undefined) found.set(entry, Number.parseInt(digest, 16));
  }
  return found;
}

type Verdict = Pick<VerifiedEntry, 'expected' | 'actual' | 'problem'>;

async function verifyEntry(
  { image }: Checkpoint,
  entry: ZipEntry,
  digest: number | undefined,
  advance: (bytes: number) => void,
): Promise<Verdict> {
  const expected = entry.crc32;
  const run = {
    image,
    offset: entry.offset,
    compressedLength: entry.compressedSize,
    length: entry.size,
  };
  try {
    const crc = entry.method === 'stored' ? crcOfStored : crcOfDeflated;
    const actual = digest ?? (await crc(run, advance));
    if (actual !== expected) {
      const unset = expected === 0 ? '; 0 may mean that it was written without checksums' : '';
      return {
        expected,
        actual,
        problem: `CRC-32 is ${hex(actual)}, the archive says ${hex(expected)}${unset}`,
      };
    }
    const { descriptor } = entry;
    if (descriptor !== undefined) {
      const bytes = await image.read(descriptor.offset, descriptor.length);
      if (!descriptorMatches(bytes, descriptor.length, entry)) {
        const place = `the data descriptor at byte ${descriptor.offset}`;
        return {
          expected,
          actual,
          problem: `${place} disagrees with the central directory: ${bytes.toString('hex')}`,
        };
      }
    }
    return { expected, actual, problem: undefined };
  } catch (cause) {
    if (!(cause instanceof MlfsError)) throw cause;
    return { expected, actual: undefined, problem: cause.message };
  }
}

async function crcOfStored(run: DeflatedRun, advance: (bytes: number) => void): Promise<number> {
  const read = (at: number) => {
    const reading = run.image.read(run.offset + at, Math.min(SLICE_BYTES, run.length - at));
    // The later await gets the failure; until then it must not count as unhandled.
    reading.catch(() => undefined);
    return reading;
  };
  let crc = 0;
  let next = run.length > 0 ? read(0) : undefined;
  for (let at = 0; next !== undefined; at += SLICE_BYTES) {
    const bytes = await next;
    next = at + SLICE_BYTES < run.length ? read(at + SLICE_BYTES) : undefined;
    crc = crc32(bytes, crc);
    advance(bytes.length);
  }
  return crc;
}

async function crcOfDeflated(run: DeflatedRun, advance: (bytes: number) => void): Promise<number> {
  const inflater = new PageInflater(run, SLICE_BYTES);
  try {
    let crc = 0;
    let done = 0;
    let credited = 0;
    do {
      const page = await inflater.next();
      crc = crc32(page, crc);
      done += page.byteLength;
      const share =
        done === run.length ? run.compressedLength : Math.floor((done / run.length) * run.compressedLength);
      advance(share - credited);
      credited = share;
    } while (done < run.length);
    return crc;
  } finally {
    inflater.close();
  }
}

/** Reads a storage's last byte. */
async function missingEnd({ bytes }: Storage): Promise<string | undefined> {
  if (bytes.kind !== 'extent' || bytes.length === 0) return undefined;
  try {
    await bytes.image.read(bytes.offset + bytes.length - 1, 1);
    return undefined;
  } catch (cause) {
    if (cause instanceof MlfsError) return cause.message;
    throw cause;
  }
}

/** The storages that lie in each entry: one for a tensor's record, several for an archive inside the archive. */
function storagesByEntry(checkpoint: Checkpoint): Map<ZipEntry, Storage[]> {
  const entries = checkpoint.entries.toSorted((a, b) => a.offset - b.offset);
  const result = new Map<ZipEntry, Storage[]>();
  for (const storage of checkpoint.storages.values()) {
    const { bytes } = storage;
    // Empty storages have no bytes to be bad, and their offset may be another entry's.
    if (bytes.kind === 'absent' || storage.nbytes === 0) continue;
    const place = bytes.kind === 'decoded' ? bytes.from : bytes;
    const entry = place === undefined ? undefined : entryAt(entries, place.offset);
    if (entry === undefined) continue;
    const list = result.get(entry);
    if (list === undefined) result.set(entry, [storage]);
    else list.push(storage);
  }
  return result;
}

/** The entry whose data hold the byte; the entries are sorted by offset. */
function entryAt(entries: readonly ZipEntry[], offset: number): ZipEntry | undefined {
  const entry = entries[lastAtMost(entries.length, (index) => (entries[index] as ZipEntry).offset, offset)];
  return entry !== undefined && offset < entry.offset + entry.compressedSize ? entry : undefined;
}

function tensorNames(checkpoint: Checkpoint): Map<Storage, string[]> {
  const names = new Map<Storage, string[]>();
  for (const { name, tensor } of nameTensors(checkpoint, modelOf(checkpoint)).all) {
    const list = names.get(tensor.storage);
    if (list === undefined) names.set(tensor.storage, [name]);
    else list.push(name);
  }
  return names;
}

function hex(crc: number): string {
  return `0x${crc.toString(16).padStart(8, '0')}`;
}
