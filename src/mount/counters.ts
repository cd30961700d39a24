type Counters = Readonly<Record<string, number>>;

/** Counters of the file system and of its transport, by name. What the transport opened by itself is opened, too. */
export function allCounters(filesystem: Counters, transport: Counters = {}): Counters {
  const opened = (filesystem.opens_total ?? 0) + (transport.native_opens_total ?? 0);
  return { ...filesystem, ...transport, opens_total: opened };
}
