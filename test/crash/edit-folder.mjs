/**
 * Edits a checkpoint on a real disk and ends, for strace to let its system calls fail: `node edit-folder.mjs BUILT CHECKPOINT`, BUILT being the
 * folder of the compiled sources. Prints a line of JSON for each step: its name, and the errno and message it failed with. The thread pool is to
 * have one thread, because strace counts the calls of each thread.
 */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [built, path] = process.argv.slice(2);
const { WritableCheckpoint } = await import(pathToFileURL(`${built}/targets/writable-checkpoint.js`).href);

const opened = await WritableCheckpoint.open(path);
const { checkpoint, edits } = opened;
const { image } = checkpoint;
const starts = [...checkpoint.storages.values()].map(({ bytes }) => bytes.offset);

async function step(name, task) {
  const outcome = { name };
  try {
    await task();
  } catch (cause) {
    outcome.errno = cause.errno ?? String(cause);
    outcome.message = cause.message;
  }
  writeSync(1, `${JSON.stringify(outcome)}\n`);
}

/** Step N fills 100 bytes of each storage with N, so that what is there tells which steps were. */
const write = (number, atomic = false) =>
  step(`write ${number}`, () =>
    image.update(
      async (update) => {
        for (const start of atomic ? starts : starts.slice(0, 1)) {
          await update.write(start + number * 100, Buffer.alloc(100, number));
        }
      },
      { atomic },
    ),
  );

await write(1);
await write(2);
await step('flush', () => edits.flush());
await write(3, true);
await write(4);
await step('flush', () => edits.flush());
await step('commit', () => edits.commit());
await write(5);
await write(6, true);
await step('flush', () => edits.flush());
await write(7);
await step('close', () => opened.close());
