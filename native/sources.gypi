{
  "variables": {
    "core_sources": [
      "native/core/episode.cc",
      "native/core/event_control.cc",
      "native/core/parse.cc",
      "native/core/sentinel.cc",
      "native/core/signals.cc",
      "native/core/sys.cc",
      "native/core/thread.cc",
      "native/core/watch.cc"
    ],
    "binding_sources": [
      "native/binding/addon.cc"
    ]
  }
}
