import { readFile } from 'node:fs/promises';
import { EXIT } from '../errors.ts';
import { diskError } from '../storage/disk-file.ts';
import { compareSeals, parseSeal, type SealReport, seal } from '../targets/seal.ts';
import { tensorTarget } from '../targets/tensor-target.ts';
import { printJson, printLine } from './output.ts';
import { plural } from './printable.ts';
import { progressBar } from './progress-bar.ts';

/** `mlfs verify TARGET --seal SEAL`: lists every difference from the seal, one a line; exit code 3 if there is any. */
export async function verifySeal(name: string, sealFile: string, json: boolean): Promise<void> {
  const text = await readFile(sealFile, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw diskError(sealFile, 'the seal cannot be read', cause);
  });
  const expected = parseSeal(text, sealFile);
  const target = await tensorTarget(name);
  const bar = await progressBar('hashing');
  let report: SealReport;
  try {
    report = compareSeals(expected, await seal(target, (progress) => bar.update(progress)));
  } finally {
    bar.stop();
    await target.close();
  }
  if (json) printJson({ path: name, seal: sealFile, ...report });
  else for (const line of asLines(name, report)) printLine(line);
  if (report.changed.length + report.missing.length + report.added.length > 0)
    process.exitCode = EXIT.malformed;
}

function asLines(name: string, { changed, missing, added, intact }: SealReport): string[] {
  const lines = [
    ...changed.map((path) => `${path}: changed`),
    ...missing.map((path) => `${path}: missing`),
    ...added.map((path) => `${path}: not sealed`),
  ];
  const sound = `${plural(intact, 'tensor')} as sealed`;
  const summary =
    lines.length === 0
      ? `${name}: ${sound}`
      : `${name}: ${changed.length} changed, ${missing.length} missing, ${added.length} not sealed, ${sound}`;
  return [...lines, summary];
}
