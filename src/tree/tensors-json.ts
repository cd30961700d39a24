/**
 * /sys/tensors.json: a JSON array with one tensor a line, so that both `jq` and `grep` are at home in it. Every name of
 * the object tree has its line; `aliases` are the other names of the same bytes, `file` is where the mount shows them.
 */
import { nbytes, type Tensor } from '../checkpoint/tensor.ts';
import { visibleJson } from '../visible-text.ts';
import { fileOffset, viewKey } from './tensor-files.ts';

export function tensorsJson(
  tensors: readonly { readonly name: string; readonly tensor: Tensor }[],
  pathOf: (tensor: Tensor) => string | undefined,
): string {
  const namesOf = new Map<string, string[]>();
  const named = tensors.map(({ name, tensor }) => {
    const key = viewKey(tensor);
    const names = namesOf.get(key);
    if (names === undefined) namesOf.set(key, [name]);
    else names.push(name);
    return { name, key, tensor };
  });
  const lines = named.map(({ name, key, tensor }) =>
    visibleJson({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      stride: tensor.stride,
      storage: tensor.storage.key,
      file_offset: fileOffset(tensor) ?? null,
      nbytes: nbytes(tensor),
      requires_grad: tensor.requiresGrad,
      ...(tensor.note === undefined ? {} : { note: tensor.note }),
      aliases: namesOf.get(key)?.filter((other) => other !== name) ?? [],
      file: pathOf(tensor) ?? null,
    }),
  );
  return `[\n${lines.join(',\n')}${lines.length === 0 ? '' : '\n'}]\n`;
}
