import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Enumeration } from './enumeration.ts';
import { SCENARIOS } from './scenarios.ts';

/** A bounded part of what `npm run test:crash` looks at; the seed is fixed so that a failure comes back. */
const OPTIONS = { seed: 1, states: 10, statesOfRecovery: 2, depth: 1 };
const OF_LARGE = { seed: 1, states: 3, statesOfRecovery: 1, depth: 0 };

for (const scenario of SCENARIOS) {
  test(`a crash at every call keeps what was promised: ${scenario.name}`, async (t) => {
    const counts = await new Enumeration(scenario, scenario.large ? OF_LARGE : OPTIONS).run();
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.crashes > 5 && counts.states > counts.crashes);
  });
}
