import { PickleFault, TruncatedPickle } from './refusal.ts';

/** A cursor over the bytes of a pickle. Every read past the end is a PickleFault. */
export class PickleReader {
  readonly bytes: Buffer;
  position: number;

  constructor(bytes: Buffer, start: number) {
    this.bytes = bytes;
    this.position = start;
  }

  u8(): number {
    return this.bytes[this.take(1)] as number;
  }

  u16(): number {
    return this.bytes.readUInt16LE(this.take(2));
  }

  i32(): number {
    return this.bytes.readInt32LE(this.take(4));
  }

  u32(): number {
    return this.bytes.readUInt32LE(this.take(4));
  }

  /** An 8-byte length; beyond the safe integers it is a fault, because no pickle is that long. */
  u64(): number {
    const at = this.take(8);
    const value = this.bytes.readUInt32LE(at) + this.bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
    if (!Number.isSafeInteger(value)) throw new PickleFault(`the length ${value} is beyond any file`);
    return value;
  }

  /** BINFLOAT is big-endian, unlike everything else. */
  f64(): number {
    return this.bytes.readDoubleBE(this.take(8));
  }

  /** A view of the next `length` bytes, not a copy. */
  slice(length: number): Buffer {
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }

  /** The bytes up to the next newline, which is consumed. */
  line(): Buffer {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw new TruncatedPickle('the pickle ends inside a line');
    const line = this.bytes.subarray(this.position, end);
    this.position = end + 1;
    return line;
  }

  /** The offset of the next `length` bytes, after moving past them. */
  take(length: number): number {
    const at = this.position;
    if (length > this.bytes.length - at) {
      throw new TruncatedPickle(
        `the pickle ends at byte ${this.bytes.length}, ${length} bytes were to follow byte ${at}`,
      );
    }
    this.position = at + length;
    return at;
  }
}
