import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Statistics } from '../../../src/numbers/statistics.ts';
import type { Image } from '../../../src/storage/image.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { EventsFile, type EventsTensor } from '../../../src/viz/events-file.ts';
import { masked } from '../../../src/viz/tfrecord.ts';
import { requires } from '../../support/requires.ts';
import { output } from '../../support/run.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const READER = fileURLToPath(new URL('../../../examples/04-tensorboard/read_events.py', import.meta.url));
const TIME = { wallTime: 1_700_000_000.25, step: 1337 };

function statistics(count: number): Statistics {
  return {
    count,
    min: -1,
    max: 1.5,
    mean: 0.25,
    std: 0.5,
    sum: count / 4,
    sumOfSquares: 4,
    norm: 2,
    zeros: 0,
    nans: 2,
    infs: 1,
    histogram: [
      { from: -1, to: -0.875, count: 1 },
      { from: 1.25, to: 1.5, count: count - 1 },
    ],
  };
}

/** An image that nobody reads, but that may change. */
class ChangingImage {
  readonly size = 1000;
  readonly #listeners: (() => void)[] = [];

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  change(): void {
    for (const listener of this.#listeners) listener();
  }
}

function scene(names: readonly string[], of = (index: number) => statistics(10 + index)) {
  const asked: string[] = [];
  const image = new ChangingImage();
  const tensors: EventsTensor[] = names.map((name, index) => ({
    name,
    statistics: async () => {
      asked.push(name);
      return of(index);
    },
  }));
  const file = new EventsFile(image as unknown as Image, tensors, TIME, new RenderedPages(1 << 20));
  return { file, asked, image };
}

interface Event {
  readonly step: number;
  readonly wall_time: number;
  readonly file_version?: string;
  readonly values: readonly {
    readonly tag: string;
    readonly scalar?: number;
    readonly histogram?: Record<'min' | 'max' | 'num' | 'sum' | 'sum_squares', number>;
  }[];
}

async function readByPython(t: TestContext, file: EventsFile): Promise<Event[]> {
  const folder = await temporaryDirectory(t);
  await writeFile(join(folder, 'events.out.tfevents.1.test'), await file.read(0, file.size));
  const lines = await output('python3', [READER, '--json', folder]);
  return lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test("the masked CRC is TensorFlow's", () => {
  // crc32c_test.cc of TensorFlow: masking is undone by subtracting and rotating back.
  const crc = 0xe3069283;
  const delta = (masked(crc) - 0xa282ead8) >>> 0;
  assert.equal(((delta >>> 17) | (delta << 15)) >>> 0, crc);
  assert.notEqual(masked(crc), crc);
});

test('another reader finds every tensor, its numbers, step and time', requires('python3'), async (t) => {
  const names = ['fc.weight', 'größe', 'a'.repeat(300), 'layer.0'];
  const { file } = scene(names);
  const [version, ...events] = await readByPython(t, file);
  assert.equal(version?.file_version, 'brain.Event:2');
  assert.deepEqual(
    events.map(({ values }) => values[0]?.tag),
    names,
  );
  for (const [index, event] of events.entries()) {
    assert.equal(event.step, 1337);
    assert.equal(event.wall_time, TIME.wallTime);
    const histogram = event.values[0]?.histogram;
    assert.equal(histogram?.num, 10 + index);
    assert.deepEqual([histogram?.min, histogram?.max, histogram?.sum_squares], [-1, 1.5, 4]);
    const scalars = event.values.slice(1).map(({ tag, scalar }) => [tag, scalar]);
    const name = names[index];
    assert.deepEqual(scalars, [
      [`mean/${name}`, 0.25],
      [`std/${name}`, 0.5],
      [`norm/${name}`, 2],
      [`not_finite/${name}`, 3],
    ]);
  }
});

test('any piece of the file is the piece of the whole', async () => {
  const { file } = scene(['a', 'b.c', 'd.e.f']);
  const whole = Buffer.from(await file.read(0, file.size));
  assert.equal(whole.byteLength, file.size);
  for (let offset = 0; offset <= file.size; offset += 97) {
    for (const length of [1, 13, 700, 5000]) {
      const piece = Buffer.from(await file.read(offset, length));
      assert.ok(piece.equals(whole.subarray(offset, offset + length)), `${length} at ${offset}`);
    }
  }
});

test('the size does not depend on the elements, and asking for it computes nothing', () => {
  const { file, asked } = scene(['a', 'b']);
  const other = scene(['a', 'b'], () => ({
    ...statistics(1),
    min: undefined,
    max: undefined,
    histogram: [],
  }));
  assert.equal(file.size, other.file.size);
  assert.deepEqual(asked, []);
});

test('a read computes the tensors whose records it touches, and each once', async () => {
  const names = Array.from({ length: 100 }, (_, index) => `tensor.${index}`);
  const { file, asked } = scene(names);
  await file.read(Math.floor(file.size / 2), 10);
  assert.equal(asked.length, 1);
  const [first] = asked;
  await file.read(Math.floor(file.size / 2) + 10, 10);
  assert.deepEqual(asked, [first]);
  await file.read(0, 20);
  assert.deepEqual(asked, [first], 'the version is no tensor');
});

test('however many read at a time, two tensors are computed at a time', async () => {
  const names = Array.from({ length: 40 }, (_, index) => `tensor.${index}`);
  let running = 0;
  let most = 0;
  const tensors = names.map((name) => ({
    name,
    statistics: async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return statistics(3);
    },
  }));
  const image = new ChangingImage() as unknown as Image;
  const file = new EventsFile(image, tensors, TIME, new RenderedPages(1 << 20));
  const piece = Math.ceil(file.size / 8);
  await Promise.all(Array.from({ length: 8 }, (_, index) => file.read(index * piece, piece)));
  assert.equal(most, 2);
});

test('a change of the image makes records anew', async () => {
  let count = 10;
  const { file, asked, image } = scene(['a'], () => statistics(count));
  const before = Buffer.from(await file.read(0, file.size));
  count = 11;
  assert.ok(Buffer.from(await file.read(0, file.size)).equals(before), 'kept until something changes');
  image.change();
  assert.ok(!Buffer.from(await file.read(0, file.size)).equals(before));
  assert.deepEqual(asked, ['a', 'a']);
});

test('a tensor that cannot be read fails the reads of its record and no others', async () => {
  const names = ['a', 'b'];
  const { file } = scene(names, (index) => {
    if (index === 0) throw new Error('no bytes');
    return statistics(5);
  });
  await assert.rejects(file.read(0, file.size), /no bytes/);
  await file.read(file.size - 100, 100);
});
