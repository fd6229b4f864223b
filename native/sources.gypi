{
  "variables": {
    "core_sources": [
      "native/core/parse.cc",
      "native/core/sys.cc"
    ],
    "binding_sources": [
      "native/binding/addon.cc"
    ]
  }
}
