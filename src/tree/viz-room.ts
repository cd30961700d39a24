/**
 * /viz: a TensorBoard run, for `tensorboard --logdir MNT/viz`. One events file has a histogram of every tensor of the model and a few numbers
 * beside it, made when it is read. It leaves out tensors without elements, tensors without bytes in the checkpoint, and tensors whose
 * elements have no numbers (elements that share bytes).
 */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { ModelTensor } from '../checkpoint/model.ts';
import { numpyScalar } from '../checkpoint/numpy/scalar.ts';
import { PyDict, PyFloat, type Value } from '../checkpoint/pickle/values.ts';
import { numel, type Tensor } from '../checkpoint/tensor.ts';
import { tensorContent } from '../checkpoint/tensor-content.ts';
import { hasStatistics, type Statistics } from '../numbers/statistics.ts';
import type { StatisticsCache } from '../numbers/statistics-cache.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { EventsFile, type EventsTensor } from '../viz/events-file.ts';
import type { EventTime } from '../viz/tensor-event.ts';
import type { InodeTable } from './inode-table.ts';

export interface VizSources {
  readonly checkpoint: Checkpoint;
  readonly tensors: readonly ModelTensor[];
  readonly statistics: StatisticsCache;
  readonly cache: RenderedPages;
}

/** The name of the tensor in a file that is one bare tensor. */
const NAMELESS = 'tensor';

/** Adds nothing if no tensor can be shown. */
export function addVizRoom(table: InodeTable, { checkpoint, tensors, statistics, cache }: VizSources): void {
  const shown = tensors.filter(({ tensor }) => isShown(tensor));
  if (shown.length === 0) return;
  const time = eventTime(checkpoint);
  const room = table.folder(table.root, 'viz');
  table.add(room, `events.out.tfevents.${Math.floor(time.wallTime)}.mlfs`, {
    content: () =>
      new EventsFile(
        checkpoint.image,
        eventsTensors(shown, (tensor) => statisticsOf(tensor, statistics, cache)),
        time,
        cache,
      ),
  });
}

/** Made one by one: there may be hundreds of thousands. */
function eventsTensors(
  shown: readonly ModelTensor[],
  statistics: (tensor: Tensor) => Promise<Statistics>,
): Iterable<EventsTensor> {
  return {
    *[Symbol.iterator]() {
      for (const { name, tensor } of shown) {
        yield { name: name === '' ? NAMELESS : name, statistics: () => statistics(tensor) };
      }
    },
  };
}

function isShown(tensor: Tensor): boolean {
  return hasStatistics(tensor.dtype) && numel(tensor) > 0 && tensor.storage.bytes.kind !== 'absent';
}

async function statisticsOf(tensor: Tensor, statistics: StatisticsCache, cache: RenderedPages) {
  // A separate content object: the file's own one is told about changes only while the kernel knows the file.
  const content = tensorContent(tensor, cache);
  try {
    return await statistics.of(tensor, content);
  } finally {
    if (content.kind === 'rendered') content.invalidate?.();
  }
}

/** Names that training programs use for the number of steps, the most exact first. */
const STEPS = ['global_step', 'step', 'iteration', 'iter', 'epoch'];

/** The mtime of the file, and the step saved beside the model in a training checkpoint. */
export function eventTime({ root, image }: Pick<Checkpoint, 'root' | 'image'>): EventTime {
  const wallTime = Number(image.base.fingerprint.mtimeNs / 1_000_000n) / 1000;
  const steps = root instanceof PyDict ? STEPS.map((key) => wholeNumber(root.get(key))) : [];
  return { wallTime, step: steps.find((step) => step !== undefined) ?? 0 };
}

function wholeNumber(value: Value | undefined): number | undefined {
  const plain = value instanceof PyFloat ? value.value : (numpyScalar(value)?.value ?? value);
  const number = typeof plain === 'bigint' ? Number(plain) : plain;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}
