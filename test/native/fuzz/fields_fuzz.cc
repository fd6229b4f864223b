#include "fuzz.h"

using namespace oom;

namespace {

int read(std::string_view text, size_t cut, parse::Field (&out)[3]) {
  parse::FieldLines lines(out, 3);
  int err = lines.feed(text.substr(0, cut));
  if (err == 0) err = lines.feed(text.substr(cut));
  return err == 0 ? lines.finish() : err;
}

}  // namespace

// Whole and in two pieces must give the same.
void fuzz(std::string_view text) {
  parse::Field whole[] = {{"oom"}, {"oom_kill"}, {"inactive_file"}};
  int err = parse::fields(text, whole, 3);
  FUZZ_CHECK(err == 0 || err == -EINVAL || err == -ERANGE);
  for (size_t cut : {text.size() / 3, text.size() / 2}) {
    parse::Field pieces[] = {{"oom"}, {"oom_kill"}, {"inactive_file"}};
    FUZZ_CHECK(read(text, cut, pieces) == err);
    for (int i = 0; i < 3; i++) FUZZ_CHECK(pieces[i].value == whole[i].value);
  }
}
