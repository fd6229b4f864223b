{
  "variables": {
    "core_sources": [
      "native/core/episode.cc",
      "native/core/parse.cc",
      "native/core/sentinel.cc",
      "native/core/sys.cc",
      "native/core/thread.cc"
    ],
    "binding_sources": [
      "native/binding/addon.cc"
    ]
  }
}
