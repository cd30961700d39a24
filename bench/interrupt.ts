/** Removes what a run made if it is interrupted: the first mount last. */
type Undo = () => Promise<void>;

const undos = new Set<Undo>();

/** Registers what to undo on SIGINT or SIGTERM; call the returned function once it is undone in the ordinary way. */
export function onInterrupt(undo: Undo): () => void {
  undos.add(undo);
  return () => {
    undos.delete(undo);
  };
}

export function watchInterrupts(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void undoAll().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
    });
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
