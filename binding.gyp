# The build that users get (node-gyp). CMakeLists.txt is the one for working on the native code;
# both read native/sources.gypi.
{
    "includes": ["native/sources.gypi"],
    "target_defaults": {
        "include_dirs": ["native"],
        "cflags!": ["-std=gnu++17"],
        "cflags_cc!": ["-std=gnu++17", "-fno-strict-aliasing"],
        "cflags_cc": [
            "-std=c++20", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden",
            "-fvisibility-inlines-hidden", "-Wall", "-Wextra", "-Wno-unused-parameter"
        ],
        # A promise may come due while its worker is terminated: nothing can be thrown any more then.
        "defines": [
            "_GNU_SOURCE", "NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
            "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
        ],
    },
    "targets": [
        {
            "target_name": "cgroup_oom",
            "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
            "conditions": [
                ["OS=='linux'", {
                    # By rooms: see the script.
                    "sources": [
                        "<!@(node scripts/unity.mjs build/unity/core shared_sources core_sources)",
                        "<!@(node scripts/unity.mjs build/unity/binding binding_sources)",
                    ],
                    # The thread must never run in unmapped code: Node unloads an addon with the
                    # worker that loaded it.
                    "ldflags": ["-Wl,-z,nodelete", "-Wl,-z,now", "-Wl,-z,relro"],
                }, {
                    # Elsewhere there are no cgroups, but there is cgroup-oom/testing.
                    "sources": ["<@(portable_sources)"],
                    "xcode_settings": {
                        "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
                        "GCC_ENABLE_CPP_EXCEPTIONS": "NO",
                        "GCC_ENABLE_CPP_RTTI": "NO",
                    },
                    "msvs_settings": {
                        "VCCLCompilerTool": {"AdditionalOptions": ["/std:c++20", "/utf-8"]},
                    },
                }],
            ],
        },
    ],
    "conditions": [
        ["OS=='linux'", {
            "targets": [
                {
                    # Started for each spawn(): static where the C library has an archive, so that
                    # it starts fast and does not load the LD_PRELOAD of the command's environment.
                    "target_name": "oom-launcher",
                    "type": "executable",
                    "sources": ["native/guardian/launcher.cc"],
                    "cflags_cc": ["-O2"],
                    "ldflags!": ["-rdynamic"],
                    "ldflags": [
                        "<!@(node scripts/static-flags.mjs)", "-Wl,-z,relro", "-Wl,--gc-sections"
                    ],
                },
                {
                    # Stands behind each process that guards: static and small, since all of it that
                    # is ever touched stays locked.
                    "target_name": "oom-guardian",
                    "type": "executable",
                    "sources": [
                        "<!@(node scripts/unity.mjs build/unity/guardian shared_sources guardian_sources)"
                    ],
                    "cflags_cc": ["-Os", "-ffunction-sections", "-fdata-sections"],
                    "ldflags!": ["-rdynamic"],
                    "ldflags": [
                        "<!@(node scripts/static-flags.mjs)", "-Wl,-z,relro", "-Wl,--gc-sections"
                    ],
                },
            ],
        }],
    ],
}
