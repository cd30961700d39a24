#pragma once

#include <cstdint>
#include <vector>

#include "inode_table.h"
#include "tree_reply.h"

namespace mlfs {

/// READDIR and READDIRPLUS of a folder: its entries after `offset`, as many as fit into `room` bytes.
struct DirectoryQuery {
  uint64_t nodeid;
  uint64_t offset;
  uint32_t room;
  bool plus;
};

/// Adds the entries to a reply. `referenced` gets the nodeids to which the kernel holds one more reference by the reply; they are counted.
/// False, with a useless reply whose references are to be taken back, if an inode that is needed is not in the table. Must be called within an
/// Epochs::Guard.
bool add_entries(InodeTable& table, const TreeDefaults& defaults, const DirectoryQuery& query, TreeReply& reply,
                 std::vector<uint32_t>& referenced);

}  // namespace mlfs
