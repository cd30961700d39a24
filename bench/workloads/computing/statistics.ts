import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gigabytesPerSecond, read } from '../../client.ts';
import type { Driver } from '../../drivers/driver.ts';
import { mlfsKernel } from '../../drivers/mlfs.ts';
import { NUMPY_STATISTICS, Numpy, pythonWithNumpy } from '../../numpy.ts';
import type { Subject, TensorPlace } from '../../subject.ts';
import { warm } from '../temperature.ts';
import type { Workload } from '../workload.ts';

const NUMPY_TYPES = { float32: '<f4', float16: '<f2' } as const;
type Precision = keyof typeof NUMPY_TYPES;
const PRECISIONS = Object.keys(NUMPY_TYPES) as Precision[];

/** numpy takes long for halves, and its speed does not depend on the size beyond this. */
const MOST_NUMPY_BYTES = 128 * 2 ** 20;

/** numpy makes a pass over the tensor for each statistic, and MLFS one for all. */
export const statistics: Workload = {
  name: 'statistics',
  about: `first read of a tensor's document in /views/json, checkpoint in the page cache, fresh mount; native: numpy, ${NUMPY_STATISTICS.join(', ')} one after another, at most 128 MiB of the same tensor, in memory`,
  subject: 'weights',
  mostRounds: 3,
  metrics: [
    {
      key: 'float32',
      title: 'statistics of a float32 tensor',
      unit: 'GB/s',
      better: 'higher',
      headline: true,
    },
    { key: 'float16', title: 'statistics of a float16 tensor', unit: 'GB/s', better: 'higher' },
  ],
  appliesTo: ({ name }) => name === 'native' || name === mlfsKernel.name,
  missing: ({ direct }) =>
    direct && pythonWithNumpy() === undefined ? 'not here: python3 with numpy' : undefined,
  measure: async (driver, subject) => {
    await warm(subject);
    return driver.direct ? byNumpy(subject) : byDocuments(driver, subject);
  },
};

async function byDocuments(driver: Driver, subject: Subject): Promise<Record<string, number>> {
  const opened = await driver.open(subject);
  try {
    const rates: Record<string, number> = {};
    for (const dtype of PRECISIONS) {
      const document = path.join(opened.root, '..', 'views', 'json', `${dtype}.json`);
      const { passes } = await read({ mode: 'seq', path: document });
      const { statistics: found } = JSON.parse(await readFile(document, 'utf8'));
      if (!Number.isFinite(found?.mean)) throw new Error(`${document}: has no statistics`);
      const [pass] = passes;
      rates[dtype] = gigabytesPerSecond(pass && { ...pass, bytes: placeOf(subject, dtype).length });
    }
    return rates;
  } finally {
    await opened.close();
  }
}

async function byNumpy(subject: Subject): Promise<Record<string, number>> {
  const rates: Record<string, number> = {};
  for (const dtype of PRECISIONS) {
    const { offset, length: all } = placeOf(subject, dtype);
    const length = Math.min(all, MOST_NUMPY_BYTES);
    const tensor = { file: subject.path, dtype: NUMPY_TYPES[dtype], offset, length, textCount: 0 };
    const numpy = await Numpy.start(pythonWithNumpy() ?? 'python3', tensor);
    try {
      let seconds = 0;
      for (const name of NUMPY_STATISTICS) seconds += await numpy.time(name);
      rates[dtype] = length / seconds / 1e9;
    } finally {
      await numpy.end();
    }
  }
  return rates;
}

function placeOf({ path: checkpoint, tensors = [] }: Subject, dtype: Precision): TensorPlace {
  const place = tensors[PRECISIONS.indexOf(dtype)];
  if (place === undefined) throw new Error(`${checkpoint}: has no ${dtype} tensor`);
  return place;
}
