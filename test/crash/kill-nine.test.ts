import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountable } from '../support/served.ts';
import { killRounds } from './killed-server.ts';

test('kill -9 of the server loses no acknowledged edit', mountable('kernel', 'python3'), async (t) => {
  const counts = await killRounds(10, 7);
  t.diagnostic(JSON.stringify(counts));
  assert.equal(counts.rounds, 10);
  assert.ok(counts.roundsWithDurableEdits >= 2);
  assert.ok(counts.acknowledged > 20);
  assert.ok(counts.nativeWrites > 20, `${counts.nativeWrites} writes were native`);
});
