import type { Command } from 'commander';
import type { Finding } from '../doctor/finding.ts';
import { EXIT, MlfsError, messageOf } from '../errors.ts';
import { printJson, printLine, printStyled } from './output.ts';

/** `mlfs doctor`: checks whether this machine can mount, and what to do if not. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check with a trial mount whether this machine can mount, and say what to do if not')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  mlfs doctor')
    .action(examine);
}

async function examine(options: { readonly json?: boolean }): Promise<void> {
  const { diagnose } = await import('../doctor/diagnosis.ts');
  const findings = await diagnose();
  if (!options.json) print(findings);
  const trial = await trialMount();
  if (options.json) printJson([...findings, trial], 2);
  else print([trial]);
  if ([...findings, trial].some(({ state }) => state === 'problem')) process.exitCode = EXIT.failure;
}

const SAMPLE = Buffer.from(new Float32Array([1, 2, 3, 4]).buffer);

async function trialMount(): Promise<Finding> {
  const name = 'trial mount';
  const [{ withMount, withTemporaryFolder }, { writeTorchZip }, { readFile }, { join }] = await Promise.all([
    import('./trial-mount.ts'),
    import('../checkpoint/torch/writer.ts'),
    import('node:fs/promises'),
    import('node:path'),
  ]);
  try {
    return await withTemporaryFolder(async (folder, interrupted) => {
      const checkpoint = join(folder, 'trial.pt');
      await writeTorchZip(checkpoint, {
        tensors: [{ name: 'fc.weight', dtype: 'float32', shape: [2, 2], fill: SAMPLE }],
      });
      return withMount(checkpoint, folder, {}, interrupted, async ({ mountpoint, mounted }) => {
        const bytes = await readFile(join(mountpoint, 'model/fc/weight.bin'));
        if (!bytes.equals(SAMPLE)) {
          return { name, state: 'problem', detail: 'a mounted tensor has other bytes than the file' };
        }
        return {
          name,
          state: 'ok',
          detail: `a small checkpoint was mounted, read and unmounted (${mounted.summary.transport} transport)`,
        };
      });
    });
  } catch (error) {
    const detail = messageOf(error);
    // The advice of ERR_MLFS_FUSE is to run this command.
    const advice = error instanceof MlfsError && error.code !== 'ERR_MLFS_FUSE' ? error.advice : undefined;
    return { name, state: 'problem', detail, advice };
  }
}

const COLOUR = { ok: 32, note: 33, problem: 31 } as const;

function print(findings: readonly Finding[]): void {
  for (const { name, state, detail, advice, command } of findings) {
    printStyled(state.padEnd(7), [COLOUR[state], 39]);
    printLine(`  ${name.padEnd(14)}  ${detail}`);
    for (const hint of state === 'ok' ? [] : [command, advice]) {
      if (hint !== undefined) printLine(`         ${''.padEnd(14)}  → ${hint}`);
    }
  }
}
