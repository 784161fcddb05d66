// bench_update: the fused host update, the norm and the casts against what memory allows.
#include "cases.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  zero::bench::arrays a;
  zero::bench::register_updates(a);
  zero::bench::register_steps(a);
  zero::bench::register_formats(a);
  zero::bench::register_elementwise(a);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
