{
  "variables": {
    "core_sources": [
      "native/core/sys.cc"
    ],
    "binding_sources": [
      "native/binding/addon.cc",
      "native/binding/spawn.cc"
    ]
  }
}
