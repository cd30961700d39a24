/**
 * The files of an open journal, the oldest first. Invariants: at no time is a segment missing between two others, whatever a power loss
 * does to unsynced names; numbers never go down while there are segments.
 */
import { dirname, join } from 'node:path';
import { MlfsError } from '../../errors.ts';
import type { Medium, MediumFile } from '../medium.ts';
import { mayBeSegment, type Segment, segmentNumber, segmentPath } from './segment.ts';

export class Segments {
  readonly #medium: Medium;
  readonly directory: string;
  #segments: Segment[] = [];
  /** The last segment, which records are appended to; undefined when the next append begins a new one. */
  #current: Segment | undefined;
  #lastNumber = 0;
  /** Number of segments that were made, and how many of their names were synced. */
  #made = 0;
  #durableNames = 0;

  constructor(medium: Medium, directory: string) {
    this.#medium = medium;
    this.directory = directory;
  }

  get current(): Segment | undefined {
    return this.#current;
  }

  get last(): Segment | undefined {
    return this.#segments.at(-1);
  }

  get count(): number {
    return this.#segments.length;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, { size }) => sum + size, 0);
  }

  /** What a sync has to make durable at this moment. */
  get dirty(): Segment[] {
    return this.#segments.filter(({ size, durableSize }) => size > durableSize);
  }

  get nextNumber(): number {
    return this.#lastNumber + 1;
  }

  /** Adds a segment that is on the medium, complete and durable; later records are appended to it. */
  add(segment: Segment): void {
    this.#segments.push(segment);
    this.#current = segment;
    this.#lastNumber = segment.number;
  }

  /** Makes a new segment, whose header is written with its first record. Must be called when earlier names are durable. */
  async begin(firstSequence: number): Promise<Segment> {
    if (this.#segments.length === 0) {
      await this.#medium.makeDirectory(this.directory);
      await this.#medium.syncDirectory(dirname(this.directory));
    }
    const number = this.nextNumber;
    const path = segmentPath(this.directory, number);
    const file = await this.#medium.open(path, 'create');
    this.#made++;
    const segment = newSegment({ number, path, file, firstSequence, size: 0 });
    this.add(segment);
    return segment;
  }

  /** Returns the number of the last segment that has records, or 0. */
  end(): number {
    // An empty segment is kept in use: before other segments it would be damage.
    if (this.#current !== undefined && this.#current.size > 0) this.#current = undefined;
    return this.#current === undefined ? this.#lastNumber : this.#current.number - 1;
  }

  /** Makes the names of all segments made so far durable. */
  async syncNames(): Promise<void> {
    const made = this.#made;
    if (this.#durableNames >= made) return;
    await this.#medium.syncDirectory(this.directory);
    this.#durableNames = Math.max(this.#durableNames, made);
  }

  /** Removes the segments up to this number, durably, and closes them when their readers are done. */
  async drop(through: number): Promise<void> {
    for (;;) {
      const [oldest] = this.#segments;
      if (oldest === undefined || oldest.number > through) return;
      if (this.#current === oldest) this.#current = undefined;
      await this.#remove(oldest);
      this.#segments.shift();
      await close(oldest);
    }
  }

  /** Removes the last segment if no record was ever written to it. */
  async dropEmpty(): Promise<void> {
    if (this.last?.size === 0) await this.dropLast();
  }

  /** Removes the last segment, durably. Nothing is appended to the one before it any more. */
  async dropLast(): Promise<void> {
    const { last } = this;
    if (last === undefined) return;
    await this.#remove(last);
    this.#segments.pop();
    this.#lastNumber = last.number - 1;
    this.#current = undefined;
    await close(last);
  }

  /** For a removed folder: there is nothing left to remove. */
  async forget(): Promise<void> {
    const segments = this.#segments;
    this.#segments = [];
    this.#current = undefined;
    for (const segment of segments) await close(segment);
  }

  async close(): Promise<void> {
    for (const segment of this.#segments) await close(segment);
  }

  async #remove({ path }: Segment): Promise<void> {
    try {
      await this.#medium.remove(path);
    } catch (cause) {
      // An earlier attempt removed it.
      if (!isGone(cause)) throw cause;
    }
    // Each removal is durable before the next.
    await this.#medium.syncDirectory(this.directory);
  }
}

/**
 * Removes a journal that cannot be read, but no file that merely has a segment's name. Removes the newest segment first and each durably,
 * so that a crash leaves the same journal, only shorter.
 */
export async function removeSegments(medium: Medium, directory: string): Promise<void> {
  const names = (await medium.list(directory)).filter((name) => segmentNumber(name) !== undefined);
  for (const name of names.sort((a, b) => (segmentNumber(b) ?? 0) - (segmentNumber(a) ?? 0))) {
    const path = join(directory, name);
    const file = await medium.open(path, 'read');
    const own = await mayBeSegment(file).finally(() => file.close());
    if (!own) continue;
    await medium.remove(path);
    await medium.syncDirectory(directory);
  }
}

export function newSegment(of: {
  readonly number: number;
  readonly path: string;
  readonly file: MediumFile;
  readonly firstSequence: number;
  readonly size: number;
}): Segment {
  const { number, path, file, firstSequence, size } = of;
  return { number, path, file, firstSequence, size, durableSize: size, closed: false };
}

export function isGone(cause: unknown): boolean {
  return cause instanceof MlfsError && cause.code === 'ERR_MLFS_NOT_FOUND';
}

async function close(segment: Segment): Promise<void> {
  segment.closed = true;
  await segment.file.close();
}
