/**
 * Reads /proc/self/mountinfo (proc(5)): field 3 is `major:minor`, field 5 the mount point with octal escapes; after ` - ` come the type,
 * the source and the super options. The mount itself is never accessed: this process might serve it.
 */
export interface MountTableEntry {
  readonly device: string;
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
  /** Whether this mount is writable: `rw` among the options of the mount point, whatever the file system allows. */
  readonly writable: boolean;
  /** `user_id` of a FUSE mount: the user who mounted it and serves it. */
  readonly userId: number | undefined;
}

/** Every mount, in the order in which they were made. */
export function parseMountTable(mountinfo: string): MountTableEntry[] {
  const entries: MountTableEntry[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    const fields = before?.split(' ');
    const [type, source, options = ''] = after?.split(' ') ?? [];
    if (fields?.[2] === undefined || fields[4] === undefined || type === undefined || source === undefined)
      continue;
    entries.push({
      device: fields[2],
      mountpoint: unescapeOctal(fields[4]),
      type,
      source: unescapeOctal(source),
      writable: fields[5]?.split(',').includes('rw') ?? false,
      userId: userIdIn(options),
    });
  }
  return entries;
}

function userIdIn(options: string): number | undefined {
  const [, digits] = /(?:^|,)user_id=(\d+)/.exec(options) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** The topmost mount on a path, or undefined. */
export function mountTableEntry(mountinfo: string, mountpoint: string): MountTableEntry | undefined {
  return parseMountTable(mountinfo).findLast((entry) => entry.mountpoint === mountpoint);
}

/** `major:minor` of the topmost mount on a path: its name in /sys/class/bdi. */
export function deviceNumberOf(mountinfo: string, mountpoint: string): string | undefined {
  return mountTableEntry(mountinfo, mountpoint)?.device;
}

/**
 * Space, tab, newline, `#` and backslash are written as \040, \011, \012, \043 and \134. Only ASCII is escaped, so UTF-8 names are
 * unchanged.
 */
function unescapeOctal(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
