import type { Command } from 'commander';
import { EXIT } from '../errors.ts';
import type { Distance } from '../numbers/distance.ts';
import type { Described, TensorDifference } from '../targets/difference.ts';
import { printJson, printLine } from './output.ts';
import { grouped, humanBytes, plural } from './printable.ts';
import { isStdoutBroken } from './stdout.ts';

interface DiffFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `mlfs diff A B`: which tensors differ, in how many elements, and by how much. */
export function registerDiff(program: Command): void {
  program
    .command('diff')
    .description(
      'say which tensors differ, in how many elements, and by how much; exit code 1 if any differs',
    )
    .argument('<before>', 'a checkpoint file, or a mount point (with its edits)')
    .argument('<after>', 'another checkpoint file or mount point')
    .option('-q, --quiet', 'print nothing; the exit code says whether any tensor differs')
    .option('--json', 'print one line of JSON for each tensor that differs')
    .addHelpText(
      'after',
      '\nExamples:\n  mlfs diff step-1000.pt step-2000.pt\n  mlfs diff model.pt /mnt/m        # the edits of a mount',
    )
    .action(diff);
}

async function diff(before: string, after: string, flags: DiffFlags): Promise<void> {
  const [{ tensorTarget }, { differences }, { progressBar }] = await Promise.all([
    import('../targets/tensor-target.ts'),
    import('../targets/difference.ts'),
    import('./progress-bar.ts'),
  ]);
  const a = await tensorTarget(before);
  const bar = await progressBar('comparing');
  let found = 0;
  try {
    const b = await tensorTarget(after);
    try {
      for await (const difference of differences(a, b, (progress) => bar.update(progress))) {
        found++;
        // The exit code is known.
        if (flags.quiet || isStdoutBroken()) break;
        if (flags.json) printJson(difference);
        else printLine(asLine(difference));
      }
    } finally {
      await b.close();
    }
  } finally {
    bar.stop();
    await a.close();
  }
  if (found > 0) process.exitCode = EXIT.failure;
  if (flags.quiet || flags.json) return;
  const all = plural(a.tensors.length, 'tensor');
  printLine(found === 0 ? `no difference in ${all}` : `${plural(found, 'difference')}, ${all} compared`);
}

function asLine(difference: TensorDifference): string {
  const { path } = difference;
  switch (difference.kind) {
    case 'added':
    case 'removed':
      return `${path}: ${difference.kind}, ${humanBytes(difference.bytes)}`;
    case 'reshaped':
      return `${path}: ${described(difference.before)} became ${described(difference.after)}`;
    case 'changed': {
      const { elements, elementsTotal } = difference;
      const share = ((100 * elements) / elementsTotal).toPrecision(3);
      const parts = [
        `${grouped(elements)} of ${grouped(elementsTotal)} elements (${share} %)`,
        ...farApart(difference),
      ];
      return `${path}: ${parts.join(', ')}`;
    }
  }
}

/** The known distances, and the number of elements without one. */
function farApart(distance: Distance): string[] {
  const { maxDistance, relative, becameNonFinite, becameFinite, stayedNonFinite, beyondDouble } = distance;
  const parts: string[] = [];
  if (maxDistance !== null) parts.push(`at most ${distanceText(maxDistance)} apart`);
  if (relative !== null) parts.push(`relative distance ${distanceText(relative)}`);
  if (becameNonFinite > 0) parts.push(`${grouped(becameNonFinite)} became NaN or infinite`);
  if (becameFinite > 0) parts.push(`${grouped(becameFinite)} became finite`);
  if (stayedNonFinite > 0)
    parts.push(`${grouped(stayedNonFinite)} changed from one NaN or infinity to another`);
  if (beyondDouble > 0) parts.push(`${grouped(beyondDouble)} further apart than a double can say`);
  return parts;
}

/** Integers in full, other numbers with four digits. */
function distanceText(distance: number | bigint): string {
  return Number.isInteger(distance) || typeof distance === 'bigint'
    ? distance.toString()
    : (distance as number).toPrecision(4);
}

function described({ dtype, shape }: Described): string {
  return `${dtype}[${shape.join(', ')}]`;
}
