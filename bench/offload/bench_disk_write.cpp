// bench_disk_write: how the disk engine writes, and a store that hashes every byte, against plain
// calls by as many threads as transfers are under way. fio is the peer in bench_disk. --bytes is of
// the file.
#include "offload/disk_cases.hpp"

int main(int argc, char** argv) {
  using namespace zero::bench;
  return run(argc, argv, {15, 256 << 20, "/var/tmp"},
             [](const settings& s) { register_disk(s, pattern::write); });
}
