import type { Value } from '../pickle/values.ts';

export function modelStr(_root: Value): string | undefined {
  return undefined;
}
