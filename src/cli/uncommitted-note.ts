import { MlfsError } from '../errors.ts';
import { inspectUncommittedEdits } from '../targets/uncommitted-edits.ts';
import { notice } from './notice.ts';
import { exactBytes } from './printable.ts';

/** For commands that read the checkpoint file as it is: a line on stderr when there are uncommitted edits. */
export async function noteUncommittedEdits(path: string): Promise<void> {
  try {
    const kept = await inspectUncommittedEdits(path);
    if (kept?.interruptedCommit) {
      notice(
        `${path}: a commit was interrupted, and the file may be half written; mlfs commit ${path} finishes it`,
      );
    } else if (kept !== undefined && kept.dirtyBytes > 0) {
      const edits = `${exactBytes(kept.dirtyBytes)} of uncommitted edits in ${kept.stateDirectory}`;
      notice(`${path}: ${edits} are not shown; mlfs commit ${path} writes them into the file`);
    }
  } catch (cause) {
    if (!(cause instanceof MlfsError)) throw cause;
    notice(`${cause.message}: edits that are kept there are not shown`);
  }
}
