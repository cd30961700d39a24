import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ErofsImage, erofsImage } from '../../../src/kernel-view/erofs-image.ts';
import { type FileRanges, FileRangesBuilder } from '../../../src/kernel-view/file-ranges.ts';
import { atOnce } from '../../../src/storage/in-slices.ts';

export type Range = readonly [nodeid: number, offset: number, length: number];

export function fileRanges(ranges: readonly Range[]): FileRanges {
  const builder = new FileRangesBuilder();
  for (const [nodeid, offset, length] of ranges) builder.add(nodeid, offset, length);
  return builder.finish();
}

export function imageOf(ranges: readonly Range[], fileBytes: number, blockBits?: number): ErofsImage {
  return atOnce(erofsImage(fileRanges(ranges), fileBytes, blockBits === undefined ? {} : { blockBits }));
}

/** Size of the image that is attached. */
export function bytesWithCopies({ bytes, copies }: ErofsImage): number {
  const end = (copies.at(-3) ?? 0) + (copies.at(-1) ?? 0);
  return Math.max(bytes.length, Math.ceil(end / 4096) * 4096);
}

/** Debian's erofs-utils know blocks of 4 KiB only. */
export const UTILS_BLOCK_BITS = 12;

/** Checks an image with fsck.erofs and returns the bytes of its files, by name, as fsck.erofs extracts them. */
export function extracted(image: ErofsImage, file: Buffer, folder: string): Map<string, Buffer> {
  const blockBytes = 2 ** UTILS_BLOCK_BITS;
  const bytes = Buffer.alloc(bytesWithCopies(image));
  bytes.set(image.bytes);
  for (let at = 0; at < image.copies.length; at += 3) {
    const [to, from, length] = image.copies.subarray(at, at + 3);
    file.copy(bytes, to, from as number, (from as number) + (length as number));
  }
  mkdirSync(folder);
  const path = join(folder, 'image');
  writeFileSync(path, bytes);
  const devices = Array.from(image.begins, (begin, index) => {
    const whole = Math.floor((file.length - begin) / blockBytes) * blockBytes;
    const device = join(folder, `device-${index}`);
    writeFileSync(device, file.subarray(begin, begin + whole));
    return `--device=${device}`;
  });
  const out = join(folder, 'files');
  const checked = spawnSync('fsck.erofs', ['-d1', ...devices, `--extract=${out}`, path], {
    encoding: 'utf8',
  });
  if (checked.status !== 0) throw new Error(`fsck.erofs: ${checked.stdout}${checked.stderr}`);
  const names = spawnSync('ls', [out], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);
  return new Map(names.map((name) => [name, readFileSync(join(out, name))]));
}
