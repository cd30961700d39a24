/** Names that every JavaScript object has are no dtypes, storage classes or layouts of torch. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { assertExplained } from '../support/clean-text.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { assemble, global, int, storage, tensor, text, tuple } from '../unit/checkpoint/pickle/assembler.ts';
import { oneTensor, torchZip } from '../unit/checkpoint/torch/torch-files.ts';

/** Opens, or is refused with a typed error that is not a fault of ours. */
async function openedOrRefused(t: TestContext, bytes: Buffer): Promise<void> {
  const path = join(await temporaryDirectory(t), 'm.pt');
  await writeFile(path, bytes);
  try {
    await (await openCheckpoint(path)).close();
  } catch (cause) {
    assertExplained(cause);
    assert.notEqual(cause.code, 'ERR_MLFS_INTERNAL', cause.message);
  }
}

for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty', 'valueOf']) {
  test(`${name} as the name of a storage class, a dtype, a layout`, async (t) => {
    const bytes = { 0: Buffer.alloc(16) };
    const plain = tensor(storage('0', 4), 0, [4], [1]);
    for (const value of [
      tensor(storage('0', 4, `${name}Storage`), 0, [4], [1]),
      assemble(
        global('torch._utils', '_rebuild_meta_tensor_no_storage'),
        tuple(global('torch', name), tuple(int(4)), tuple(int(1)), assemble('NEWFALSE')),
        'REDUCE',
      ),
      ...[text(name), global('torch', name), text(`torch.${name}`)].map((layout) =>
        assemble(
          global('torch._utils', '_rebuild_sparse_tensor'),
          tuple(layout, tuple(plain, plain, tuple(int(4)), assemble('NEWTRUE'))),
          'REDUCE',
        ),
      ),
    ]) {
      await openedOrRefused(t, torchZip(oneTensor(value), bytes));
    }
  });
}
