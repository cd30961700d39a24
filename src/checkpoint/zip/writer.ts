/**
 * Writes zip archives the way torch's PyTorchFileWriter does, byte for byte: stored entries with sizes and CRC in a data descriptor (flag bit 3),
 * data aligned by an `FB` extra field of `Z`s in the local header, ZIP64 extra fields only where a size or an offset needs them, ZIP64
 * end records always, no dates. Facts from archives of torch 2.13, also of more than 4 GiB.
 *
 * It only ever appends, so an archive of any size streams through; runs of zeros become holes. Headers and small entries are gathered into
 * larger writes.
 */
import { MlfsError } from '../../errors.ts';
import { NewFile } from '../../storage/new-file.ts';
import { quoteName } from '../../visible-text.ts';
import { type Fill, pour } from './fill.ts';

/** miniz switches to ZIP64 at this value, not above it. */
const ZIP64_FROM = 0xffffffff;
const FLAG_UTF8 = 0x800;
const FLAG_DESCRIPTOR = 0x8;
const LOCAL_HEADER_LENGTH = 30;
const CENTRAL_HEADER_LENGTH = 46;
/** What is smaller than this waits for more: an archive of 90,000 small entries would otherwise be 270,000 writes. */
const GATHERED_BYTES = 256 * 1024;

interface WrittenEntry {
  readonly rawName: Buffer;
  readonly flags: number;
  readonly crc: number;
  readonly size: number;
  readonly headerOffset: number;
}

export class ZipWriter {
  readonly #path: string;
  readonly #file: NewFile;
  readonly #alignment: number;
  readonly #entries: WrittenEntry[] = [];
  #position = 0;
  /** Bytes that are not written yet: `#gatheredLength` of them, from `#gatheredStart` of the file. */
  readonly #gathered = Buffer.allocUnsafe(GATHERED_BYTES);
  #gatheredStart = 0;
  #gatheredLength = 0;

  private constructor(path: string, file: NewFile, alignment: number) {
    this.#path = path;
    this.#file = file;
    this.#alignment = alignment;
  }

  /** The archive appears at `path` when finish() has completed; until then it is a temporary file beside it. */
  static async create(path: string, alignment: number): Promise<ZipWriter> {
    return new ZipWriter(path, await NewFile.begin(path, { overwrite: true }), alignment);
  }

  /** Appends a stored entry. Returns where its data starts, and its CRC-32. */
  async add(name: string, size: number, fill: Fill): Promise<{ offset: number; crc32: number }> {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new MlfsError(
        'ERR_MLFS_USAGE',
        `${this.#path}: entry ${quoteName(name)} cannot have ${size} bytes`,
      );
    }
    const rawName = Buffer.from(name, 'utf8');
    const headerOffset = this.#position;
    // miniz leaves empty entries without a descriptor.
    const flags = size === 0 ? FLAG_UTF8 : FLAG_UTF8 | FLAG_DESCRIPTOR;
    await this.#write(localHeader(rawName, flags, size, headerOffset, this.#alignment));
    const offset = this.#position;
    const crc = await pour(
      fill,
      size,
      (bytes) => this.#write(bytes),
      (length) => {
        this.#position += length;
      },
    );
    if (size > 0) await this.#write(descriptor(crc, size, headerOffset));
    this.#entries.push({ rawName, flags, crc, size, headerOffset });
    return { offset, crc32: crc };
  }

  /** Writes the central directory and puts the file in its place; a regular file that stood there before is replaced in one step. */
  async finish(): Promise<number> {
    const centralOffset = this.#position;
    const records = this.#entries.map(centralRecord);
    await this.#write(Buffer.concat(records));
    const centralSize = this.#position - centralOffset;
    await this.#write(endRecords(this.#entries.length, centralSize, centralOffset));
    await this.#flush();
    await this.#file.publish(0o666 & ~process.umask());
    return this.#position;
  }

  /** Aborts and removes the temporary file. */
  abort(): Promise<void> {
    return this.#file.abandon();
  }

  /** The bytes may be changed by the caller afterwards. */
  async #write(bytes: Uint8Array): Promise<void> {
    const length = bytes.byteLength;
    const continues = this.#position === this.#gatheredStart + this.#gatheredLength;
    if (!continues || this.#gatheredLength + length > GATHERED_BYTES) await this.#flush();
    if (length >= GATHERED_BYTES) {
      await this.#file.file.write(this.#position, [bytes]);
    } else {
      if (this.#gatheredLength === 0) this.#gatheredStart = this.#position;
      this.#gathered.set(bytes, this.#gatheredLength);
      this.#gatheredLength += length;
    }
    this.#position += length;
  }

  async #flush(): Promise<void> {
    if (this.#gatheredLength === 0) return;
    await this.#file.file.write(this.#gatheredStart, [this.#gathered.subarray(0, this.#gatheredLength)]);
    this.#gatheredLength = 0;
  }
}

function localHeader(
  rawName: Buffer,
  flags: number,
  size: number,
  headerOffset: number,
  alignment: number,
): Buffer {
  // torch puts the size twice where the size needs it, then the header's own offset where that does; the compressed size is left 0.
  const long = [
    ...(size >= ZIP64_FROM ? [size, 0] : []),
    ...(headerOffset >= ZIP64_FROM ? [headerOffset] : []),
  ];
  const zip64 = zip64Extra(long);
  const start = headerOffset + LOCAL_HEADER_LENGTH + rawName.length + zip64.length + 4;
  const padding = Buffer.alloc(4 + ((alignment - (start % alignment)) % alignment), 'Z');
  padding.write('FB', 0, 'latin1');
  padding.writeUInt16LE(padding.length - 4, 2);

  const header = Buffer.alloc(LOCAL_HEADER_LENGTH);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(flags, 6);
  // offset 8: method, stored; 14: CRC; 18 and 22: sizes, all in the descriptor
  header.writeUInt16LE(rawName.length, 26);
  header.writeUInt16LE(zip64.length + padding.length, 28);
  return Buffer.concat([header, rawName, zip64, padding]);
}

/** 24 bytes where the local header has a ZIP64 extra, else 16. */
function descriptor(crc: number, size: number, headerOffset: number): Buffer {
  const long = size >= ZIP64_FROM || headerOffset >= ZIP64_FROM;
  const bytes = Buffer.alloc(long ? 24 : 16);
  bytes.writeUInt32LE(0x08074b50, 0);
  bytes.writeUInt32LE(crc, 4);
  if (long) {
    bytes.writeBigUInt64LE(BigInt(size), 8);
    bytes.writeBigUInt64LE(BigInt(size), 16);
  } else {
    bytes.writeUInt32LE(size, 8);
    bytes.writeUInt32LE(size, 12);
  }
  return bytes;
}

function centralRecord({ rawName, flags, crc, size, headerOffset }: WrittenEntry): Buffer {
  const long = [
    ...(size >= ZIP64_FROM ? [size, size] : []),
    ...(headerOffset >= ZIP64_FROM ? [headerOffset] : []),
  ];
  const zip64 = zip64Extra(long);
  const record = Buffer.alloc(CENTRAL_HEADER_LENGTH);
  record.writeUInt32LE(0x02014b50, 0);
  record.writeUInt16LE(flags, 8);
  record.writeUInt32LE(crc, 16);
  record.writeUInt32LE(Math.min(size, ZIP64_FROM), 20);
  record.writeUInt32LE(Math.min(size, ZIP64_FROM), 24);
  record.writeUInt16LE(rawName.length, 28);
  record.writeUInt16LE(zip64.length, 30);
  record.writeUInt32LE(Math.min(headerOffset, ZIP64_FROM), 42);
  return Buffer.concat([record, rawName, zip64]);
}

function zip64Extra(values: readonly number[]): Buffer {
  if (values.length === 0) return Buffer.alloc(0);
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(0x0001, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, index) => {
    extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  });
  return extra;
}

function endRecords(count: number, centralSize: number, centralOffset: number): Buffer {
  const zip64End = Buffer.alloc(56);
  zip64End.writeUInt32LE(0x06064b50, 0);
  zip64End.writeBigUInt64LE(44n, 4);
  zip64End.writeUInt16LE(0x031e, 12);
  zip64End.writeUInt16LE(0x002d, 14);
  zip64End.writeBigUInt64LE(BigInt(count), 24);
  zip64End.writeBigUInt64LE(BigInt(count), 32);
  zip64End.writeBigUInt64LE(BigInt(centralSize), 40);
  zip64End.writeBigUInt64LE(BigInt(centralOffset), 48);

  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(centralOffset + centralSize), 8);
  locator.writeUInt32LE(1, 16);

  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(count, 0xffff), 8);
  end.writeUInt16LE(Math.min(count, 0xffff), 10);
  end.writeUInt32LE(Math.min(centralSize, ZIP64_FROM), 12);
  end.writeUInt32LE(Math.min(centralOffset, ZIP64_FROM), 16);
  return Buffer.concat([zip64End, locator, end]);
}
