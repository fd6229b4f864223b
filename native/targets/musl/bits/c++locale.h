// libstdc++'s locales are glibc's, by their type; none is ever used here.
#pragma once
#include <locale.h>
#define __locale_t locale_t
#include_next <bits/c++locale.h>
