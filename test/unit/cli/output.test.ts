import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../../src', import.meta.url));

function filesWith(folder: string, pattern: RegExp): string[] {
  return readdirSync(join(src, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && pattern.test(readFileSync(join(src, folder, file), 'utf8')))
    .map((file) => join(folder, file))
    .sort();
}

test('commands print through stdout.ts, notice.ts and print-error.ts alone', () => {
  assert.deepEqual(filesWith('cli', /process\.std(out|err)\.write|console\./), [
    // Lines of the log, which are escaped.
    'cli/mount.ts',
    'cli/notice.ts',
    'cli/print-error.ts',
    // What output.ts prints, and a tensor's bytes.
    'cli/stdout.ts',
  ]);
});

test('JSON that somebody reads is written by visibleJson', () => {
  assert.deepEqual(
    filesWith('.', /JSON\.stringify\(/),
    [
      // What programs of ours and workers tell each other.
      'rpc/serve-calls.ts',
      'rpc/worker-process.ts',
      'throughput/child-program.ts',
      'throughput/reading-process.ts',
      // Files of the state directory.
      'targets/control-command.ts',
      'storage/base-record.ts',
      'storage/commit-note.ts',
      'storage/edits.ts',
      'storage/lock.ts',
      // A header that has the format's own form.
      'tree/safetensors-export.ts',
      // Lines of a document, which escapes them.
      'tree/ir/exported-graph.ts',
      'tree/ir/module-documents.ts',
      'tree/ir/script-json.ts',
      'visible-text.ts',
    ].sort(),
  );
});
