{
  "variables": {
    "core_sources": [
      "native/core/episode.cc",
      "native/core/sys.cc"
    ],
    "binding_sources": [
      "native/binding/addon.cc"
    ]
  }
}
