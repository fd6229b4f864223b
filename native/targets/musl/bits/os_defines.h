// In the place of libstdc++'s own, which is for glibc: nothing to say of musl.
#pragma once
