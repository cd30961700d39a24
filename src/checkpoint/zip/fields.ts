/**
 * Little-endian fields of headers, which an archive has hundreds of thousands of. Buffer's own methods check types and bounds, which costs more than all
 * else. The caller has checked the bounds.
 */

export function uint16(bytes: Buffer, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

export function uint32(bytes: Buffer, at: number): number {
  return (uint16(bytes, at) | (uint16(bytes, at + 2) << 16)) >>> 0;
}

export function uint64(bytes: Buffer, at: number): number {
  return uint32(bytes, at) + uint32(bytes, at + 4) * 0x1_0000_0000;
}
