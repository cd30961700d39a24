import type { NodeidRange, ViewSlots } from '../../src/kernel-view/view-slot.ts';
import type { NativeKernelView } from '../../src/storage/native.ts';

export interface RecordedSlots {
  readonly slots: ViewSlots;
  /** What was called, after the view's name: `first`, then `2`, `3` and so on. */
  readonly calls: string[];
  /** The calls of one view. */
  of(view: string): string[];
}

/** A place for kernel views without a kernel: every call is recorded, and every view is attached at once. */
export function recordedSlots(refusal?: string): RecordedSlots {
  const calls: string[] = [];
  const view = (name: string): NativeKernelView => ({
    select: (nodeids) => void calls.push(`${name} select ${[...nodeids]}`),
    attach: async () => void calls.push(`${name} attach`),
    stopWaiting: () => void calls.push(`${name} stopWaiting`),
    suspend: (suspended) => void calls.push(`${name} suspend ${suspended}`),
    end: () => void calls.push(`${name} end`),
  });
  let views = 1;
  const expect = ({ first, end }: NodeidRange) => {
    views++;
    calls.push(`${views} expect ${first}-${end}`);
    return view(String(views));
  };
  const of = (name: string) =>
    calls.filter((call) => call.startsWith(`${name} `)).map((call) => call.slice(name.length + 1));
  return { slots: { first: view('first'), expect, refusal }, calls, of };
}
