import { visibleJson } from '../visible-text.ts';

/** Like `visibleJson` for plain data, on one line, except that a bigint becomes a JSON integer with all its digits. */
export function exactJson(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return visibleJson(value ?? null);
  if (Array.isArray(value)) return `[${value.map(exactJson).join(',')}]`;
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .map(([key, field]) => `${visibleJson(key)}:${exactJson(field)}`);
  return `{${fields.join(',')}}`;
}
