// bench_update: the fused host update against what memory allows. --bytes is of an array of fp32.
#include "cases.hpp"

namespace {

void register_cases(const zero::bench::settings& s) {
  const auto a = std::make_shared<zero::bench::arrays>(zero::bench::elements_of(s.bytes));
  zero::bench::register_updates(s, a);
  zero::bench::register_steps(s, a);
  zero::bench::register_formats(s, a);
}

}  // namespace

int main(int argc, char** argv) {
  return zero::bench::run(argc, argv, {15, 128 << 20, "/var/tmp"}, register_cases);
}
