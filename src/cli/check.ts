import type { Command } from 'commander';
import { EXIT, MlfsError } from '../errors.ts';
import type { TensorTarget } from '../targets/tensor-target.ts';
import { printJson, printLine } from './output.ts';
import { plural } from './printable.ts';

interface CheckFlags {
  readonly grads?: boolean;
  readonly finite?: boolean;
  readonly json?: boolean;
}

interface Problem {
  readonly path: string;
  readonly problem: string;
}

/** `mlfs check TARGET`: checks of a checkpoint for CI. */
export function registerCheck(program: Command): void {
  program
    .command('check')
    .description('check gradients (--grads), numbers (--finite), or both; exit code 1 if something is wrong')
    .argument('<target>', 'a checkpoint file, or a mount point (with its edits)')
    .option('--grads', 'fail if the gradient of a parameter is missing or empty')
    .option('--finite', 'fail if a floating-point tensor has a NaN or an infinity')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  mlfs check /mnt/m --grads --finite || exit 1')
    .action(check);
}

async function check(name: string, flags: CheckFlags): Promise<void> {
  if (!flags.grads && !flags.finite) {
    throw new MlfsError('ERR_MLFS_USAGE', 'mlfs check: nothing to check was chosen', {
      advice: '--grads, --finite, or both',
    });
  }
  const { tensorTarget } = await import('../targets/tensor-target.ts');
  const target = await tensorTarget(name);
  const problems: Problem[] = [];
  const checked: string[] = [];
  try {
    if (flags.grads) checked.push(plural(await checkGradients(target, problems), 'gradient'));
    if (flags.finite) checked.push(plural(await checkFinite(target, problems), 'floating-point tensor'));
  } finally {
    await target.close();
  }
  if (flags.json) printJson({ path: name, ok: problems.length === 0, problems });
  else {
    for (const { path, problem } of problems) printLine(`${path}: ${problem}`);
    const verdict = problems.length === 0 ? 'all is well' : plural(problems.length, 'problem');
    printLine(`${name}: ${checked.join(', ')}: ${verdict}`);
  }
  if (problems.length > 0) process.exitCode = EXIT.failure;
}

async function checkGradients(target: TensorTarget, problems: Problem[]): Promise<number> {
  // A tensor without elements has a gradient without bytes.
  const empty = new Set(target.tensors.filter(({ content }) => content.size === 0).map(({ path }) => path));
  const gradients = (await target.gradients()).filter(({ path }) => !empty.has(path.replace(/grad$/, 'bin')));
  for (const { path, size } of gradients) if (size === 0) problems.push({ path, problem: 'is empty' });
  if (gradients.length === 0)
    problems.push({ path: 'model', problem: 'has no parameter that could have a gradient' });
  return gradients.length;
}

async function checkFinite(target: TensorTarget, problems: Problem[]): Promise<number> {
  const [{ canBeNonFinite, findNonFinite }, { progressBar }] = await Promise.all([
    import('../numbers/non-finite.ts'),
    import('./progress-bar.ts'),
  ]);
  const tensors = target.tensors.filter(({ dtype }) => canBeNonFinite(dtype));
  const total = tensors.reduce((sum, { content }) => sum + content.size, 0);
  const bar = await progressBar('checking');
  try {
    const found = await findNonFinite(tensors, (done) => bar.update({ done, total }));
    for (const { path, nans, infs } of found) {
      problems.push({ path, problem: `has ${nans} NaN and ${infs} infinite elements` });
    }
  } finally {
    bar.stop();
  }
  return tensors.length;
}
