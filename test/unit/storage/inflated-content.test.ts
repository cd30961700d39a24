import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { MlfsError } from '../../../src/errors.ts';
import type { ByteSource } from '../../../src/storage/byte-source.ts';
import { crc32 } from '../../../src/storage/crc32.ts';
import { InflatedContent } from '../../../src/storage/inflated-content.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';

const MIB = 1024 * 1024;

/** A deflated run behind 100 bytes of something else, with a count of what was read. */
class Fixture implements ByteSource {
  readonly path = 'fixture.bin';
  readonly plain: Buffer;
  readonly compressed: Buffer;
  bytesRead = 0;
  gone = false;

  constructor(length: number, compressed?: Buffer) {
    this.plain = Buffer.alloc(length);
    for (let at = 0; at + 4 <= length; at += 4) this.plain.writeUInt32LE((at * 2654435761) % 2 ** 32, at);
    this.compressed = compressed ?? deflateRawSync(this.plain, { level: 1 });
  }

  get size(): number {
    return 100 + this.compressed.length;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (this.gone) throw new MlfsError('ERR_MLFS_TRUNCATED', 'fixture.bin: the file ended');
    this.bytesRead += length;
    return this.compressed.subarray(offset - 100, offset - 100 + length);
  }

  content(cache: RenderedPages, changes: { length?: number; crc32?: number } = {}): InflatedContent {
    return new InflatedContent(
      {
        image: this,
        offset: 100,
        compressedLength: this.compressed.length,
        length: this.plain.length,
        crc32: crc32(this.plain),
        ...changes,
      },
      cache,
    );
  }
}

test('every range of a deflated run reads as the inflated bytes', async () => {
  const fixture = new Fixture(3 * MIB + 17);
  const content = fixture.content(new RenderedPages());
  for (const [offset, length] of [
    [0, 10],
    [2 * MIB - 5, 10],
    [MIB, MIB],
    [3 * MIB, 100],
    [0, 4 * MIB],
  ] as const) {
    const expected = fixture.plain.subarray(offset, offset + length);
    assert.ok(expected.equals(await content.read(offset, length)), `${length} bytes at ${offset}`);
  }
});

test('reading on continues the inflater, also when the cache keeps nothing', async () => {
  const fixture = new Fixture(4 * MIB);
  const content = fixture.content(new RenderedPages(1));
  for (let offset = 0; offset < 4 * MIB; offset += 256 * 1024) await content.read(offset, 256 * 1024);
  assert.equal(fixture.bytesRead, fixture.compressed.length);
});

test('going back to a page that was dropped starts a new pass, and only then', async () => {
  const fixture = new Fixture(4 * MIB);
  const cache = new RenderedPages(2 * MIB);
  const content = fixture.content(cache);
  await content.read(4 * MIB - 1, 1);
  assert.equal(fixture.bytesRead, fixture.compressed.length);
  await content.read(3 * MIB, 1);
  assert.equal(fixture.bytesRead, fixture.compressed.length, 'the page is still in the cache');
  assert.ok(fixture.plain.subarray(0, 9).equals(await content.read(0, 9)));
  assert.ok(fixture.bytesRead > fixture.compressed.length);
});

test('many readers at once, forwards and backwards, all get their bytes', async () => {
  const fixture = new Fixture(4 * MIB);
  const content = fixture.content(new RenderedPages(MIB));
  const reads = Array.from({ length: 60 }, async (_, index) => {
    const offset = (index * 1234577) % (4 * MIB - 5000);
    assert.ok(fixture.plain.subarray(offset, offset + 5000).equals(await content.read(offset, 5000)));
  });
  await Promise.all(reads);
});

test('a run shorter or longer than declared, damaged, or with another CRC fails with EIO, and the rest reads', async () => {
  const fixture = new Fixture(MIB);
  const cases = [
    ['ends after', fixture.content(new RenderedPages(), { length: MIB + 1 })],
    ['goes on after', fixture.content(new RenderedPages(), { length: MIB - 1 })],
    ['has CRC-32', fixture.content(new RenderedPages(), { crc32: 1 })],
  ] as const;
  for (const [reason, content] of cases) {
    await assert.rejects(content.read(content.size - 1, 1), (error: unknown) => {
      assert.ok(error instanceof MlfsError && error.errno === 'EIO' && error.exitCode === 3);
      assert.ok(error.message.includes(reason), error.message);
      return true;
    });
    assert.ok(fixture.plain.subarray(0, 100).equals(await content.read(0, 100)), reason);
  }
  const garbage = new Fixture(MIB, Buffer.alloc(5000, 0xff)).content(new RenderedPages());
  await assert.rejects(garbage.read(0, 1), /cannot be inflated/);
});

test('a file that vanishes under a parked inflater fails that read, and reading works when it is back', async () => {
  const fixture = new Fixture(8 * MIB);
  const content = fixture.content(new RenderedPages(1));
  await content.read(0, 100);
  fixture.gone = true;
  await assert.rejects(content.read(4 * MIB, 100), { code: 'ERR_MLFS_TRUNCATED', errno: 'EIO' });
  fixture.gone = false;
  assert.ok(fixture.plain.subarray(4 * MIB, 4 * MIB + 9).equals(await content.read(4 * MIB, 9)));
});

test('only so many idle inflaters are kept open', async () => {
  const cache = new RenderedPages(1);
  const fixture = new Fixture(MIB);
  const contents = Array.from({ length: 40 }, () => fixture.content(cache));
  for (const content of contents) await content.read(0, 1);
  assert.equal(cache.streams.size, 16);
  for (const content of contents) assert.equal((await content.read(600_000, 1)).length, 1);
  cache.streams.close();
  assert.equal(cache.streams.size, 0);
});
