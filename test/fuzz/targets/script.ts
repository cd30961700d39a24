/** The parsers behind /ir: TorchScript's printed code, and the JSON of exported programs, driven without the archive around them. */
import { type GraphSource, graphDocument } from '../../../src/tree/ir/graph-documents.ts';
import type { Corpus } from '../corpus.ts';
import { expect, Fault, OPENED, type Outcome } from '../judge.ts';
import { mutateJson } from '../mutate/json.ts';
import { mutateScript } from '../mutate/script.ts';
import { readPlans } from '../mutate/zip.ts';
import type { Random } from '../random.ts';
import type { Scene, Target } from '../target.ts';

export const scriptTarget: Target = {
  name: 'script',
  weight: 8,
  make(random, corpus) {
    const programs = programsOf(corpus);
    const [label, source] = random.pick(programs);
    const mutated = mutate(random, source);
    const bytes =
      mutated.kind === 'exported'
        ? mutated.json
        : Buffer.from(mutated.files.map(({ text }) => text).join('\n'));
    return { label, bytes, drive: (scene) => drive(scene, mutated) };
  },
};

const known = new WeakMap<Corpus, readonly (readonly [string, GraphSource])[]>();

function programsOf(corpus: Corpus): readonly (readonly [string, GraphSource])[] {
  let programs = known.get(corpus);
  if (programs === undefined) {
    programs = corpus.files.flatMap(({ name, bytes }) => {
      const plans = bytes.toString('latin1', 0, 2) === 'PK' ? readPlans(bytes) : undefined;
      const entries = (plans ?? []).map((plan) => ({
        name: Buffer.from(plan.name as string).toString('utf8'),
        text: Buffer.from(plan.content ?? []).toString('utf8'),
      }));
      const files = entries.filter((entry) => /\/code\/.*\.py$/.test(entry.name));
      const modules = [{ path: '', className: /^class (\w+)/m.exec(files[0]?.text ?? '')?.[1] ?? '' }];
      const exported = entries.filter((entry) => /\/models\/[^/]+\.json$/.test(entry.name));
      return [
        ...(files.length > 0 ? [[name, { kind: 'torchscript', name, files, modules }] as const] : []),
        ...exported.map(
          (entry) => [name, { kind: 'exported', name, json: Buffer.from(entry.text) }] as const,
        ),
      ];
    });
    known.set(corpus, programs);
  }
  return programs;
}

function mutate(random: Random, source: GraphSource): GraphSource {
  if (source.kind === 'exported') return { ...source, json: mutateJson(random, source.json) };
  // Of a large program a part: declarations that are elsewhere are unknown to it.
  const first = random.below(source.files.length);
  const files = source.files
    .slice(first, first + random.pick([1, 2, FILES_TOGETHER]))
    .map((file, index) => (index === 0 ? { ...file, text: mutateScript(random, file.text) } : file));
  return { ...source, files };
}

const FILES_TOGETHER = 12;
const SLOWEST_GRAPH_MS = 60_000;

async function drive({ clock }: Scene, source: GraphSource): Promise<Outcome> {
  for (const form of ['txt', 'json', 'dot'] as const) {
    try {
      // In a mount these run in a process that has a minute.
      const before = performance.now();
      const document = graphDocument(source, form);
      expect(performance.now() - before < SLOWEST_GRAPH_MS, () => `graph.${form} took too long`);
      if (form === 'json' && source.kind === 'torchscript')
        await clock.run('parse', () => JSON.parse(document));
    } catch (cause) {
      if (cause instanceof Fault) throw cause;
      // Its message is shown in the place of the document, so it must have been written for readers.
      const defect =
        cause instanceof TypeError || cause instanceof RangeError || cause instanceof ReferenceError;
      if (defect || !(cause instanceof Error))
        throw new Fault(`graph.${form}: ${cause instanceof Error ? cause.stack : cause}`);
      return { kind: 'refused', code: cause.name };
    }
  }
  return OPENED;
}
