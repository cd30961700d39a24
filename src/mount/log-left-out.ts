import type { Log } from '../telemetry/log.ts';
import type { BuiltTree } from '../tree/build-tree.ts';
import { quoteName } from '../visible-text.ts';

/** Maximum number of names in a line of the log. */
const LOGGED_NAMES = 8;

/** Writes a line for each reason why tensors of the model are not in /model. */
export function logLeftOut(log: Log, leftOut: BuiltTree['leftOut']): void {
  for (const reason of new Set(leftOut.map((tensor) => tensor.reason))) {
    const tensors = leftOut.filter((tensor) => tensor.reason === reason);
    const names = tensors.slice(0, LOGGED_NAMES).map(({ name }) => quoteName(name));
    const more = tensors.length > LOGGED_NAMES ? ', …' : '';
    log.info(`not in /model, because it is ${reason}: ${names.join(', ')}${more}`, {
      tensors: tensors.length,
    });
  }
}
