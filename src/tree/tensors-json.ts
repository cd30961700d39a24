/**
 * /sys/tensors.json: a JSON array with one tensor in each line, so that both `jq` and `grep` can read it. Every name of the object tree has a
 * line; `aliases` are the first other names of the same bytes, `aliases_total` is their number, and `file` is their path in the mount.
 *
 * A file of a kilobyte may have hundreds of thousands of names for one tensor. So each line lists only a few of the other names, all lines
 * together list a limited number of their characters, and a document that would be too large ends with a line that says how many lines are
 * missing.
 */
import type { NameAndTensor } from '../checkpoint/model.ts';
import { nbytes, type Tensor } from '../checkpoint/tensor.ts';
import { viewKey } from '../checkpoint/tensor-views.ts';
import { joinedBytes } from '../storage/joined-bytes.ts';
import { Utf8Pieces } from '../storage/utf8-pieces.ts';
import { visibleJson } from '../visible-text.ts';
import { fileOffset, MAX_ALIASES } from './tensor-files.ts';

/** Maximum for all lines together, in characters. A model with 100,000 tied pairs of names of 80 characters needs half of it. */
const ALIAS_CHARACTERS = 16 * 1024 * 1024;
/** 150,000 tensors take about 50 MB. */
const MAX_BYTES = 64 * 1024 * 1024;
/** Tensors between two yields. */
const SLICE = 64;

/** The last line of a document that was cut. */
export interface OmittedTensors {
  readonly omitted: number;
  readonly reason: string;
}

/** The first of the names of the same bytes, and how many there are. */
interface Names {
  readonly first: string[];
  total: number;
}

/** Yields between its parts. Iterates over `tensors` twice. */
export function* tensorsJson(
  tensors: () => Iterable<NameAndTensor>,
  pathOf: (tensor: Tensor) => string | undefined,
  maxBytes: number = MAX_BYTES,
): Generator<void, Uint8Array> {
  const { names, count } = yield* namesByView(tensors());
  const text = new Utf8Pieces();
  text.add('[\n');
  let lines = 0;
  let aliasCharacters = ALIAS_CHARACTERS;
  for (const { name, tensor } of tensors()) {
    const group = names.get(viewKey(tensor));
    const others =
      group === undefined || group.total === 1 ? [] : group.first.filter((other) => other !== name);
    const aliases = aliasCharacters > 0 ? others.slice(0, MAX_ALIASES) : [];
    for (const alias of aliases) aliasCharacters -= alias.length;
    if (lines > 0) text.add(',\n');
    const line = visibleJson({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      stride: tensor.stride,
      storage: tensor.storage.key,
      file_offset: fileOffset(tensor) ?? null,
      nbytes: nbytes(tensor),
      requires_grad: tensor.requiresGrad,
      note: tensor.note,
      aliases,
      aliases_total: (group?.total ?? 1) - 1,
      file: pathOf(tensor) ?? null,
    });
    text.add(line);
    lines++;
    if (text.bytes >= maxBytes && lines < count) {
      text.add(`,\n${visibleJson(omittedAfter(lines, count))}`);
      break;
    }
    if (lines % SLICE === 0) yield;
  }
  text.add(`${lines === 0 ? '' : '\n'}]\n`);
  return yield* joinedBytes(text.end());
}

function omittedAfter(lines: number, count: number): OmittedTensors {
  return { omitted: count - lines, reason: 'the document is too large; mlfs ls lists all' };
}

function* namesByView(
  tensors: Iterable<NameAndTensor>,
): Generator<void, { readonly names: ReadonlyMap<string, Names>; readonly count: number }> {
  const names = new Map<string, Names>();
  let count = 0;
  for (const { name, tensor } of tensors) {
    const key = viewKey(tensor);
    const group = names.get(key);
    if (group === undefined) names.set(key, { first: [name], total: 1 });
    else {
      group.total++;
      if (group.first.length <= MAX_ALIASES) group.first.push(name);
    }
    if (++count % SLICE === 0) yield;
  }
  return { names, count };
}
