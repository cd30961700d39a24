import type { Command } from 'commander';
import type { VerifyReport } from '../checkpoint/verify.ts';
import { EXIT } from '../errors.ts';
import { bounded, MAX_NAME_BYTES } from '../visible-text.ts';
import { printJson, printLine } from './output.ts';
import { exactBytes, plural } from './printable.ts';

interface VerifyOptions {
  readonly json?: boolean;
  readonly seal?: string;
}

/** `mlfs verify CHECKPOINT`: reads everything and compares checksums; with `--seal`, compares the hashes of tensors. */
export function registerVerify(program: Command): void {
  program
    .command('verify')
    .description('check the CRC-32 of every entry; exit code 3 if one is damaged')
    .argument('<checkpoint>', 'a .pt, .pth, .bin, .safetensors … file; with --seal also a mount point')
    .option('--seal <file>', 'instead name the tensors that changed since `mlfs seal` wrote this file')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  mlfs verify model.pt && echo intact\n  mlfs verify /mnt/m --seal model.seal',
    )
    .action(verify);
}

async function verify(path: string, options: VerifyOptions): Promise<void> {
  if (options.seal !== undefined) {
    const { verifySeal } = await import('./verify-seal.ts');
    return verifySeal(path, options.seal, options.json ?? false);
  }
  const [{ openCheckpoint }, { verifyCheckpoint }, { noteUncommittedEdits }, { progressBar }] =
    await Promise.all([
      import('../checkpoint/open.ts'),
      import('../checkpoint/verify.ts'),
      import('./uncommitted-note.ts'),
      import('./progress-bar.ts'),
    ]);
  const checkpoint = await openCheckpoint(path);
  if (!options.json) await noteUncommittedEdits(path);
  const bar = await progressBar('verifying');
  let report: VerifyReport;
  try {
    report = await verifyCheckpoint(checkpoint, {
      onProgress: ({ done, total, entry }) => bar.update({ done, total, now: bounded(entry, 60) }),
    });
  } finally {
    bar.stop();
    await checkpoint.close();
  }
  if (options.json) printJson(facts(path, report), 2);
  else for (const line of asLines(path, report)) printLine(line);
  if (!report.ok) process.exitCode = EXIT.malformed;
}

function asLines(path: string, report: VerifyReport): string[] {
  const bad = report.entries.filter(({ problem }) => problem !== undefined);
  const lines = bad.map(({ entry, tensors, problem }) => {
    const named = tensors.length === 0 ? '' : `${listed(tensors)}: `;
    return `${path}: ${named}${bounded(entry, MAX_NAME_BYTES)}: ${problem}`;
  });
  const what = `${plural(report.entries.length, report.checked === 'crc32' ? 'entry' : 'storage')}`.replace(
    'entrys',
    'entries',
  );
  if (bad.length > 0) lines.push(`${path}: ${bad.length} of ${what} bad`);
  else if (report.checked === 'crc32') {
    lines.push(`${path}: ${what}, ${exactBytes(report.bytes)}: every CRC-32 is right`);
  } else {
    lines.push(`${path}: ${what}, ${exactBytes(report.bytes)}: all there; the format has no checksums`);
  }
  return lines;
}

function facts(path: string, report: VerifyReport): object {
  const entries = report.entries.map(({ storageKey, ...entry }) => ({ ...entry, storage: storageKey }));
  return { path, ...report, entries };
}

const LISTED = 5;

function listed(names: readonly string[]): string {
  const more = names.length - LISTED;
  return `${names
    .slice(0, LISTED)
    .map((name) => bounded(name, MAX_NAME_BYTES))
    .join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
