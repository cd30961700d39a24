/** Which room each inode was made for: inodes from a room's first nodeid on belong to it, until the next room begins. */
export class RoomRanges {
  readonly #rooms: { readonly from: number; readonly name: string }[] = [];

  /** Inodes from `nodeid` on, which must not be below the one before, belong to the room. */
  begin(nodeid: number, name: string): void {
    this.#rooms.push({ from: nodeid, name });
  }

  /** '' for an inode outside of all rooms. */
  of(nodeid: number): string {
    return this.#rooms.findLast(({ from }) => from <= nodeid)?.name ?? '';
  }

  /** The same for nodeids that are asked in ascending order. */
  ascending(): (nodeid: number) => string {
    let next = 0;
    let name = '';
    return (nodeid) => {
      for (
        let room = this.#rooms[next];
        room !== undefined && room.from <= nodeid;
        room = this.#rooms[next]
      ) {
        name = room.name;
        next++;
      }
      return name;
    };
  }
}
