import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { carryOut } from '../../../src/throughput/read.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test('a sequential plan reads every byte of its pieces and nothing beside them', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  await writeFile(path, Buffer.alloc(10_000));
  const pieces = [
    { path, offset: 1, length: 5000 },
    { path, offset: 6000, length: 0 },
    { path, offset: 9000, length: 1000 },
  ];
  const outcome = carryOut({ order: 'sequential', pieces, blockBytes: 4096, seconds: 60 });
  assert.equal(outcome.bytes, 6000);
  assert.equal(outcome.reads, 3);
});

test('a scattered plan reads each whole block of its pieces once', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  await writeFile(path, Buffer.alloc(100_000));
  const pieces = [
    { path, offset: 0, length: 100 },
    { path, offset: 100, length: 4096 * 3 + 17 },
    { path, offset: 50_000, length: 4096 * 5 },
  ];
  const outcome = carryOut({ order: 'scattered', pieces, blockBytes: 4096, seconds: 60 });
  assert.equal(outcome.reads, 8);
  assert.equal(outcome.bytes, 8 * 4096);
});

test('a plan ends when its time is over', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  await writeFile(path, Buffer.alloc(100_000));
  const pieces = [{ path, offset: 0, length: 100_000 }];
  const outcome = carryOut({ order: 'sequential', pieces, blockBytes: 4096, seconds: 0 });
  assert.ok(outcome.bytes < 100_000);
});

test('a file that is shorter than its piece ends the piece', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  await writeFile(path, Buffer.alloc(5000));
  const pieces = [{ path, offset: 0, length: 1_000_000 }];
  const outcome = carryOut({ order: 'sequential', pieces, blockBytes: 4096, seconds: 60 });
  assert.equal(outcome.bytes, 5000);
});
