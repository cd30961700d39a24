import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULTS, failEveryCall } from './faults.ts';
import { SCENARIOS } from './scenarios.ts';

for (const scenario of SCENARIOS) {
  // What is done at a time has no one order that a failure could be told from.
  if (scenario.large || scenario.atATime) continue;
  test(`every call may fail, and nothing that was promised is lost: ${scenario.name}`, async (t) => {
    for (const fault of FAULTS) {
      const { calls, heard } = await failEveryCall(scenario, fault, 1);
      t.diagnostic(`${JSON.stringify(fault)}: ${calls} calls, ${heard} failures heard of`);
      assert.ok(calls > 5 && heard > 0);
    }
  });
}
