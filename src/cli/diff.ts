import type { Command } from 'commander';
import { EXIT } from '../errors.ts';
import type { Described, TensorDifference } from '../mount/difference.ts';
import { printJson, printLine } from './output.ts';
import { grouped, humanBytes, plural } from './printable.ts';

interface DiffFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** `mlfs diff A B`: which tensors, how much, how far. */
export function registerDiff(program: Command): void {
  program
    .command('diff')
    .description('say which tensors differ, in how many elements and how far; exit code 1 when any does')
    .argument('<before>', 'a checkpoint file, or a mount point (its edits included)')
    .argument('<after>', 'another one')
    .option('-q, --quiet', 'print nothing: the exit code tells')
    .option('--json', 'print a JSON object a line for each tensor that differs')
    .addHelpText(
      'after',
      '\nExamples:\n  mlfs diff step-1000.pt step-2000.pt\n  mlfs diff model.pt /mnt/m        # what was edited',
    )
    .action(diff);
}

async function diff(before: string, after: string, flags: DiffFlags): Promise<void> {
  const [{ tensorTarget }, { differences }, { progressBar }] = await Promise.all([
    import('../mount/tensor-target.ts'),
    import('../mount/difference.ts'),
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
        if (flags.quiet) break;
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
      const { elements, elementsTotal, maxDistance, relative } = difference;
      const share = ((100 * elements) / elementsTotal).toPrecision(3);
      const far = maxDistance === null ? '' : `, at most ${maxDistance.toPrecision(4)} apart`;
      const norm = relative === null ? '' : `, relative distance ${relative.toPrecision(4)}`;
      return `${path}: ${grouped(elements)} of ${grouped(elementsTotal)} elements (${share} %)${far}${norm}`;
    }
  }
}

function described({ dtype, shape }: Described): string {
  return `${dtype}[${shape.join(', ')}]`;
}
