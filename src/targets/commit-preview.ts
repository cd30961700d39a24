/** What `commit --dry-run` prints for a checkpoint that is not mounted. Takes no lock and writes nothing. */
import { fileStructure } from '../checkpoint/file-structure.ts';
import { openCheckpoint } from '../checkpoint/open.ts';
import { refuseForeignEdits } from '../storage/admit-edits.ts';
import { type CommitReport, previewCommit } from '../storage/commit-report.ts';
import { checkCopyTarget } from '../storage/copy.ts';
import type { CommitRequest } from './edit-target.ts';
import { readUncommittedEdits, type UncommittedEdits } from './uncommitted-edits.ts';

export interface CommitPreview {
  readonly report: CommitReport;
  /** A commit was interrupted: the report includes it, and the file may be half written. */
  readonly interruptedCommit: boolean;
}

/** Throws what the commit would throw because of the journal, the file or the target. */
export async function commitPreview(
  path: string,
  stateDirectory: string | undefined,
  { to, overwrite = false }: Pick<CommitRequest, 'to' | 'overwrite'>,
): Promise<CommitPreview> {
  const checkpoint = await openCheckpoint(path);
  let kept: UncommittedEdits | undefined;
  try {
    kept = await readUncommittedEdits(path, stateDirectory);
    const { base } = checkpoint.image;
    const structure = fileStructure(checkpoint);
    if (to !== undefined) {
      await checkCopyTarget(base, {
        path: to,
        overwrite,
        stateDirectory: kept?.stateDirectory ?? `${path}.mlfs`,
      });
    }
    const interruptedCommit = kept?.interrupted !== undefined;
    if (kept !== undefined) await refuseForeignEdits(kept, base, structure);
    return { report: await previewCommit(base, structure, kept?.overlay), interruptedCommit };
  } finally {
    await kept?.close();
    await checkpoint.close();
  }
}
