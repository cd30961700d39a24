/**
 * The long run of crash enumeration, a part of `npm run test:crash`: `node --import tsx test/crash/enumerate.ts [SEEDS [FIRST_SEED]]`. Prints
 * the counts of each scenario and of all; a failure ends it with the scenario, the call and the seed.
 */
import { type Counts, Enumeration } from './enumeration.ts';
import { SCENARIOS } from './scenarios.ts';

const [seeds = '3', firstSeed = '1'] = process.argv.slice(2);
const total: Record<string, number> = {};
for (const scenario of SCENARIOS) {
  for (let seed = Number(firstSeed); seed < Number(firstSeed) + Number(seeds); seed++) {
    if (scenario.large === true && seed > Number(firstSeed)) continue;
    const options = scenario.large
      ? { seed, states: 12, statesOfRecovery: 1, depth: 1 }
      : { seed, states: 48, statesOfRecovery: 8, depth: 2 };
    const counts: Counts = await new Enumeration(scenario, options).run();
    process.stdout.write(`${scenario.name}, seed ${seed}: ${JSON.stringify(counts)}\n`);
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
}
process.stdout.write(`all: ${JSON.stringify(total)}\n`);
