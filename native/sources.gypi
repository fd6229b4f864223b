{
  "variables": {
    "core_sources": [
      "native/core/ballast.cc",
      "native/core/event_control.cc",
      "native/core/lock.cc",
      "native/core/maps.cc",
      "native/core/pidfd.cc",
      "native/core/sys.cc"
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
