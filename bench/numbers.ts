/**
 * npm run bench:numbers [-- --mib N --rounds N]: statistics and text of elements, compared with numpy on the same tensor. MLFS reads the
 * tensor from a file in the page cache and computes all statistics in one pass, in libuv's pool. numpy has it in memory, and each statistic
 * is timed separately, in one thread. A round has one of every kind; the first round is not counted, and the figures are medians.
 */
import { mkdtempSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { DTYPES, type DType } from '../src/checkpoint/tensor.ts';
import { parseElements, renderElements, type TextLayout } from '../src/numbers/element-text.ts';
import { computeStatistics } from '../src/numbers/statistics.ts';
import type { FixedContent } from '../src/storage/content.ts';
import { FileSource } from '../src/storage/file-source.ts';
import { Image } from '../src/storage/image.ts';
import { undoable, untilInterrupted } from './interrupt.ts';
import { weights } from './models/weights.ts';
import { NUMPY_STATISTICS, Numpy } from './numpy.ts';
import { median } from './statistics.ts';

const MIB = 1 << 20;
/** As many as a text view shows. */
const TEXT_ELEMENTS = 1_000_000;
const ROWS: TextLayout = { columns: 1, separator: ' ' };
const NUMPY_TYPES = { float32: '<f4', float16: '<f2', float64: '<f8' } as const;

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '256' },
    rounds: { type: 'string', default: '5' },
    python: { type: 'string', default: '/usr/bin/python3' },
  },
});
await untilInterrupted(async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlfs-bench-numbers-'));
  const remove = undoable(() => rm(folder, { recursive: true, force: true }));
  try {
    for (const dtype of Object.keys(NUMPY_TYPES) as (keyof typeof NUMPY_TYPES)[]) {
      await measure(folder, dtype);
    }
  } finally {
    await remove();
  }
});

async function measure(folder: string, dtype: keyof typeof NUMPY_TYPES): Promise<void> {
  const size = Number(values.mib) * MIB;
  const file = path.join(folder, `${dtype}.bin`);
  const sample = await writeWeights(file, dtype, size);
  const few = sample.subarray(0, TEXT_ELEMENTS * DTYPES[dtype]);
  const image = new Image(await FileSource.open(file));
  const content: FixedContent = {
    kind: 'extents',
    size,
    extents: [{ kind: 'image', image, offset: 0, length: size }],
  };
  const numpy = await Numpy.start(values.python, {
    file,
    dtype: NUMPY_TYPES[dtype],
    offset: 0,
    length: size,
    textCount: TEXT_ELEMENTS,
  });
  const samples = new Map<string, number[]>();
  const note = (name: string, seconds: number) => samples.set(name, [...(samples.get(name) ?? []), seconds]);
  try {
    for (let round = 0; round <= Number(values.rounds); round++) {
      if (round === 1) samples.clear();
      note('mlfs', await seconds(() => computeStatistics(content, dtype)));
      for (const name of NUMPY_STATISTICS) note(name, await numpy.time(name));
      const text = await renderElements(dtype, few, ROWS);
      note('mlfs render', await seconds(() => renderElements(dtype, few, ROWS)));
      note('mlfs parse', await seconds(() => parseElements(dtype, text, Buffer.alloc(few.length), ROWS)));
      for (const name of ['render', 'parse']) note(name, await numpy.time(name));
    }
  } finally {
    await numpy.end();
    await image.base.close();
  }
  const of = (name: string) => median(samples.get(name) ?? []);
  const speed = (time: number) => `${(size / time / 1e9).toFixed(2)} GB/s`;
  const together = NUMPY_STATISTICS.reduce((sum, name) => sum + of(name), 0);
  const rate = (name: string) => `${(few.length / DTYPES[dtype] / of(name) / 1e6).toFixed(1)} M/s`;
  process.stdout.write(
    [
      `${dtype}, ${values.mib} MiB, numpy ${numpy.version}, ${values.rounds} rounds`,
      `  mlfs, all of them     ${speed(of('mlfs'))}`,
      `  numpy, all of them    ${speed(together)}   mlfs/numpy ${(together / of('mlfs')).toFixed(1)}`,
      ...NUMPY_STATISTICS.map((name) => `    numpy ${name.padEnd(15)} ${speed(of(name))}`),
      `  elements to text      mlfs ${rate('mlfs render')}, numpy ${rate('render')}`,
      `  text to elements      mlfs ${rate('mlfs parse')}, numpy ${rate('parse')}`,
      '',
    ].join('\n'),
  );
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await work();
  return (performance.now() - before) / 1000;
}

/** Writes the same block of weights again and again, and returns it. */
async function writeWeights(file: string, dtype: DType, size: number): Promise<Buffer> {
  const block = await weights(dtype, TEXT_ELEMENTS + (MIB - (TEXT_ELEMENTS % MIB)));
  const handle = await open(file, 'wx');
  try {
    for (let at = 0; at < size; at += block.length)
      await handle.write(block, 0, Math.min(block.length, size - at));
  } finally {
    await handle.close();
  }
  return block;
}
