/**
 * /viz: a TensorBoard run, `tensorboard --logdir MNT/viz`. One events file with a histogram of every tensor of the model and a few numbers
 * beside it, made on read. Tensors without elements or without bytes in the checkpoint are left out, and those of which nobody knows
 * numbers (elements that share bytes).
 */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { ModelTensor } from '../checkpoint/model.ts';
import { PyDict, PyFloat, type Value } from '../checkpoint/pickle/values.ts';
import { numel, type Tensor } from '../checkpoint/tensor.ts';
import { tensorContent } from '../checkpoint/tensor-content.ts';
import { hasStatistics, type Statistics } from '../numbers/statistics.ts';
import type { StatisticsCache } from '../numbers/statistics-cache.ts';
import type { PageCache } from '../storage/page-cache.ts';
import { EventsFile, type EventsTensor } from '../viz/events-file.ts';
import type { EventTime } from '../viz/tensor-event.ts';
import type { InodeTable } from './inode-table.ts';

export interface VizSources {
  readonly checkpoint: Checkpoint;
  readonly tensors: readonly ModelTensor[];
  readonly statistics: StatisticsCache;
  readonly cache: PageCache;
}

/** What a file that is one tensor without a name calls it. */
const NAMELESS = 'tensor';

/** Adds nothing when no tensor has anything to show. */
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

async function statisticsOf(tensor: Tensor, statistics: StatisticsCache, cache: PageCache) {
  // A content of its own: the file's is told about changes while the kernel knows the file.
  const content = tensorContent(tensor, cache);
  try {
    return await statistics.of(tensor, content);
  } finally {
    if (content.kind === 'rendered') content.invalidate?.();
  }
}

/** What training programs call the number of steps, the most exact first. */
const STEPS = ['global_step', 'step', 'iteration', 'iter', 'epoch'];

/** The file's own time, and the step that stands beside the model in a training checkpoint. */
export function eventTime({ root, image }: Pick<Checkpoint, 'root' | 'image'>): EventTime {
  const wallTime = Number(image.base.fingerprint.mtimeNs / 1_000_000n) / 1000;
  const steps = root instanceof PyDict ? STEPS.map((key) => wholeNumber(root.get(key))) : [];
  return { wallTime, step: steps.find((step) => step !== undefined) ?? 0 };
}

function wholeNumber(value: Value | undefined): number | undefined {
  const number = value instanceof PyFloat ? value.value : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}
