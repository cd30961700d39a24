/** Removes what a run made if it is interrupted: the first mount last. */
type Undo = () => Promise<void>;

const undos = new Set<Undo>();
let interrupted = false;

/**
 * Registers what undoes something that was made, in the same turn of the event loop: an interrupt comes between two turns. The returned function undoes it in the ordinary way, once; an interrupt that comes meanwhile
 * waits for it.
 */
export function undoable(undo: Undo): Undo {
  let done: Promise<void> | undefined;
  const undoOnce = () => {
    done ??= undo().finally(() => undos.delete(undoOnce));
    return done;
  };
  undos.add(undoOnce);
  return undoOnce;
}

/** Whatever makes something that must be undone asks first: nothing new begins while the rest is being removed. */
export function throwIfInterrupted(): void {
  if (interrupted) throw new Error('interrupted');
}

/**
 * Carries out the task of a program. SIGINT or SIGTERM undoes everything and ends the process; what goes wrong in the task because its mounts
 * disappear is not said.
 */
export async function untilInterrupted(task: () => Promise<void>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      interrupted = true;
      void undoAll().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
    });
  }
  try {
    await task();
  } catch (cause) {
    if (!interrupted) throw cause;
  }
}

async function undoAll(): Promise<void> {
  for (const undo of [...undos].reverse()) {
    try {
      await undo();
    } catch (cause) {
      process.stderr.write(`bench: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    }
  }
}
