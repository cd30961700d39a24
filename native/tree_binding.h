#pragma once

#include <napi.h>

#include <vector>

#include "inode_table.h"

/// The functions of a session that write its inode table, as src/storage/native.ts declares them. Each checks all of its numbers before it
/// changes anything, and throws a RangeError. Where memory runs
/// out nothing has changed either, and std::bad_alloc is thrown.
namespace mlfs::tree_binding {

/// A session's files by the index that JavaScript names them by; null where one was removed.
using Files = std::vector<BackingFile*>;

Napi::Value add_inodes(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value change_inode(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value withdraw_inodes(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value publish_listings(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value withdraw_listing(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value withdraw_all(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value add_reference(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value drop_references(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value references(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value take_remembered(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value set_tree_defaults(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);
Napi::Value set_statfs(const Napi::CallbackInfo& info, InodeTable& table, const Files& files);

Napi::Float64Array numbers(Napi::Env env, const std::vector<uint32_t>& nodeids);

}  // namespace mlfs::tree_binding
