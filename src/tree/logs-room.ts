/** /logs: the lines that the mount writes, and the lines that users append. */

import type { DirectoryInode } from '../inode.ts';
import type { LiveContent } from '../storage/content.ts';
import type { InodeTable } from './inode-table.ts';

/** A log that moves its lines to a second file when it is full. */
export interface RotatedLog extends LiveContent {
  readonly rotated: LiveContent;
}

export function addLogsRoom(table: InodeTable, room: DirectoryInode, log: RotatedLog): void {
  table.add(room, 'fuse.log', { content: () => log, mode: 0o644 });
  table.add(room, 'fuse.log.1', { content: () => log.rotated, mode: 0o444 });
}
