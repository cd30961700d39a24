import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import type { StatusDocument } from '../../src/targets/status-document.ts';
import { output } from './run.ts';
import { mountable } from './served.ts';

/** What a test needs whose mount has a kernel view. */
export const viewable = (...tools: string[]) =>
  mountable('kernel', 'root', 'kernel view', 'python3', ...tools);

export interface ViewModel {
  readonly path: string;
  /** Bytes of each tensor, by name. */
  readonly tensors: ReadonlyMap<string, Buffer>;
  readonly offsets: ReadonlyMap<string, number>;
}

/** A checkpoint whose tensors lie at all residues that torch makes, and whose lengths are odd. */
export async function viewModel(folder: string, name = 'model.pt', count = 9): Promise<ViewModel> {
  const path = join(folder, name);
  const tensors = new Map<string, Buffer>();
  for (let i = 0; i < count; i++) tensors.set(`t${i}`, randomBytes(2 ** 20 + 4096 + i * 64 + (i % 5)));
  const { storages } = await writeTorchZip(path, {
    tensors: [...tensors].map(([tensor, fill]) => ({
      name: tensor,
      dtype: 'uint8',
      shape: [fill.length],
      fill,
    })),
  });
  const offsets = new Map(
    [...tensors.keys()].map((tensor, i) => [tensor, storages.get(String(i))?.offset ?? -1]),
  );
  return { path, tensors, offsets };
}

export async function statusOf(mount: string): Promise<StatusDocument> {
  return JSON.parse(await output('cat', [join(mount, 'sys/status.json')]));
}

/** The status when the view was decided on. */
export async function decided(mount: string): Promise<StatusDocument> {
  return until(
    () => statusOf(mount),
    ({ kernel_view: view }) => view.state !== 'preparing',
  );
}

/** Looks until what is seen is as wanted; after a minute, what is seen then. */
export async function until<T>(look: () => Promise<T>, wanted: (seen: T) => boolean): Promise<T> {
  for (let waitedMs = 0; ; waitedMs += 50) {
    const seen = await look();
    if (wanted(seen) || waitedMs > 60_000) return seen;
    await delay(50);
  }
}

/** The loop devices over a file. */
export async function loopDevicesOf(path: string): Promise<string[]> {
  const lines = (await output('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'])).split(
    '\n',
  );
  return lines.filter((line) => line.includes(path));
}

/** What the kernel complained about since it was asked last: lines of warnings and errors about EROFS and loop devices. */
export async function complaints(): Promise<string[]> {
  const lines = (await output('dmesg', ['--level', 'emerg,alert,crit,err,warn'])).split('\n');
  // How often a capacity was set is not a complaint.
  return lines.filter((line) => /erofs|loop\d|Buffer I\/O/i.test(line) && !/capacity/.test(line));
}
