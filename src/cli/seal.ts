import type { Command } from 'commander';
import { notice } from './notice.ts';
import { printText } from './output.ts';
import { plural } from './printable.ts';

interface SealFlags {
  readonly output?: string;
}

/** `mlfs seal TARGET`: prints the SHA-256 of every tensor, in the format of sha256sum. */
export function registerSeal(program: Command): void {
  program
    .command('seal')
    .description('print the SHA-256 of every tensor, in the format of sha256sum')
    .argument('<target>', 'a checkpoint file, or a mount point (with its edits)')
    .option('-o, --output <file>', 'write to this file instead of stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  mlfs seal model.pt -o model.seal\n  mlfs verify model.pt --seal model.seal\n  cd /mnt/m && sha256sum -c --quiet ~/model.seal',
    )
    .action(sealTarget);
}

/** Replaces a regular file; without --output the text goes to stdout. */
async function writeSeal(path: string, text: string): Promise<void> {
  const [{ NewFile }, { refuseLocked, refuseStateDirectory }] = await Promise.all([
    import('../storage/new-file.ts'),
    import('../storage/protected-files.ts'),
  ]);
  const seal = await NewFile.begin(path, {
    overwrite: true,
    refuse: async (folder, inTheWay) => {
      await refuseStateDirectory(path, folder);
      if (inTheWay !== undefined) await refuseLocked(path, inTheWay);
    },
  });
  try {
    await seal.file.write(0, [Buffer.from(text)]);
  } catch (cause) {
    await seal.abandon();
    throw cause;
  }
  await seal.publish(0o666 & ~process.umask());
}

async function sealTarget(name: string, flags: SealFlags): Promise<void> {
  const [{ tensorTarget }, { formatSeal, seal }, { progressBar }] = await Promise.all([
    import('../targets/tensor-target.ts'),
    import('../targets/seal.ts'),
    import('./progress-bar.ts'),
  ]);
  const target = await tensorTarget(name);
  const bar = await progressBar('hashing');
  try {
    const sealed = await seal(target, (progress) => bar.update(progress));
    const text = formatSeal(sealed);
    if (flags.output === undefined) printText(text);
    else {
      await writeSeal(flags.output, text);
      notice(`${flags.output}: ${plural(sealed.length, 'tensor')} of ${name} sealed`);
    }
  } finally {
    bar.stop();
    await target.close();
  }
}
