{
  "targets": [
    {
      "target_name": "mlfs_native",
      "sources": [
        "answer_comparison.cc",
        "attribute_reply.cc",
        "binding.cc",
        "copy_binding.cc",
        "counters_binding.cc",
        "crc32c.cc",
        "device.cc",
        "directory_listing.cc",
        "directory_reply.cc",
        "element_text.cc",
        "elements.cc",
        "epochs.cc",
        "file_copy.cc",
        "file_layout.cc",
        "file_place.cc",
        "file_times.cc",
        "inode_table.cc",
        "loop_device.cc",
        "name_hash.cc",
        "near_server.cc",
        "notifier.cc",
        "numbers_binding.cc",
        "overlay.cc",
        "page_cache.cc",
        "passthrough.cc",
        "permission.cc",
        "place_binding.cc",
        "read_reply.cc",
        "session.cc",
        "statistics.cc",
        "tree_binding.cc",
        "tree_requests.cc",
        "view_binding.cc",
        "view_mount.cc",
        "view_opens.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NODE_ADDON_API_DISABLE_DEPRECATED", "_GNU_SOURCE", "_FILE_OFFSET_BITS=64"],
      "cflags_cc": ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "defines!": ["V8_DEPRECATION_WARNINGS"]
    }
  ]
}
