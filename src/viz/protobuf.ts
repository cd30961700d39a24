/**
 * The parts of protobuf's wire format that an event needs. Sizes are computed before bytes are written, so that a message is written from the
 * outside in and nothing is copied.
 */

/** Wire types. */
export const VARINT = 0;
export const FIXED64 = 1;
export const DELIMITED = 2;
export const FIXED32 = 5;

/** Encoded size in bytes of a non-negative safe integer. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Size of a message, bytes or string field with `length` bytes, including its key and length. All field numbers here are below 16. */
export function delimitedSize(length: number): number {
  return 1 + varintSize(length) + length;
}

/** Writes consecutive fields into a buffer, which must be large enough. */
export class FieldWriter {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get offset(): number {
    return this.#at;
  }

  varint(field: number, value: number): void {
    this.#key(field, VARINT);
    this.#varint(value);
  }

  double(field: number, value: number): void {
    this.#key(field, FIXED64);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  float(field: number, value: number): void {
    this.#key(field, FIXED32);
    this.#at = this.#bytes.writeFloatLE(value, this.#at);
  }

  bytes(field: number, value: Uint8Array): void {
    this.delimited(field, value.byteLength);
    this.#bytes.set(value, this.#at);
    this.#at += value.byteLength;
  }

  /** A packed `repeated double`. */
  doubles(field: number, values: readonly number[]): void {
    this.delimited(field, values.length * 8);
    for (const value of values) this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  /** Writes the key and length of a field; its `length` bytes must follow. */
  delimited(field: number, length: number): void {
    this.#key(field, DELIMITED);
    this.#varint(length);
  }

  #key(field: number, type: number): void {
    this.#bytes[this.#at++] = field * 8 + type;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#at++] = (rest % 0x80) + 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#at++] = rest;
  }
}
