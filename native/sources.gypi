{
  "variables": {
    "core_sources": [
      "native/core/control.cc",
      "native/core/freezer_v1.cc",
      "native/core/group.cc",
      "native/core/hierarchy.cc",
      "native/core/limits_v1.cc",
      "native/core/members.cc",
      "native/core/memcg.cc",
      "native/core/memcg_v1.cc",
      "native/core/parse.cc",
      "native/core/resolve.cc",
      "native/core/sys.cc"
    ],
    "binding_sources": [
      "native/binding/addon.cc",
      "native/binding/group.cc",
      "native/binding/spawn.cc"
    ]
  }
}
