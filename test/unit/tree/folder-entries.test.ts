import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FolderEntries } from '../../../src/tree/folder-entries.ts';

const FOLDERS = 40;

test('entries are found by folder and name, and listed in the order in which they were added', () => {
  const entry = fc.record({ folder: fc.nat(FOLDERS - 1), name: fc.nat(300) });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 2000 }), (added) => {
      const entries = new FolderEntries();
      const model = Array.from({ length: FOLDERS }, () => new Map<number, number>());
      for (let folder = 0; folder < FOLDERS; folder++) assert.equal(entries.addFolder(), folder);
      for (const [index, { folder, name }] of added.entries()) {
        if (model[folder]?.has(name)) continue;
        entries.add(folder, name, index + 2);
        model[folder]?.set(name, index + 2);
      }
      for (const [folder, names] of model.entries()) {
        const listed: [number, number][] = [];
        for (let at = entries.first(folder); at >= 0; at = entries.next(at)) {
          assert.equal(entries.folderOf(at), folder);
          listed.push([entries.nameOf(at), entries.nodeidOf(at)]);
        }
        assert.deepEqual(listed, [...names]);
        assert.equal(entries.countIn(folder), names.size);
        for (const [name, nodeid] of names) assert.equal(entries.find(folder, name), nodeid);
        assert.equal(entries.find(folder, 301), undefined);
      }
    }),
  );
});
