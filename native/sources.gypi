{
  "variables": {
    "core_sources": [
      "native/core/ballast.cc",
      "native/core/episode.cc",
      "native/core/event_control.cc",
      "native/core/guard.cc",
      "native/core/guarded_group.cc",
      "native/core/helpers.cc",
      "native/core/hot_v1.cc",
      "native/core/lock.cc",
      "native/core/maps.cc",
      "native/core/parse.cc",
      "native/core/pidfd.cc",
      "native/core/sentinel.cc",
      "native/core/signals.cc",
      "native/core/sys.cc",
      "native/core/thread.cc",
      "native/core/tree.cc",
      "native/core/victims.cc",
      "native/core/watch.cc"
    ],
    "binding_sources": [
      "native/binding/addon.cc",
      "native/binding/ballast.cc",
      "native/binding/lock.cc",
      "native/binding/polled_fd.cc",
      "native/binding/primitives.cc"
    ]
  }
}
