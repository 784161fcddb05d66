// Our side of checkpoints: a client of the library with `LAYERS` square matrices of fp32 and
// AdamW's states, sharded as stage 3 does, saved and loaded whole.
//   zero launch --ranks N -- peer_checkpoint FOLDER LAYERS WIDTH   with ZERO_PEERS_TURNS
// Words: save (until it is published and on the disk), load, digest.
#include "peers/turns.hpp"

#include <zero/checkpoint.hpp>
#include <zero/zero.hpp>

#include <cstdio>
#include <exception>
#include <string>

namespace {

std::string name_of(int layer) { return "layer." + std::to_string(layer); }

// One step on made-up gradients, so that there are states to keep.
void step(zero::optimizer& z, int layers, std::size_t count) {
  for (int layer = 0; layer < layers; ++layer) const auto used = z.forward(layer);
  for (int layer = layers - 1; layer >= 0; --layer) {
    const auto used = z.backward(layer);
    float* const gradient = z.gradient(name_of(layer));
    for (std::size_t i = 0; i < count; ++i) {
      gradient[i] = zero::bench::made_up(i, 2246822519U, 0x1p-25F);
    }
  }
  z.step(1e-3);
}

void serve(const std::string& folder, int layers, std::size_t width) {
  zero::config how = zero::config().environment();
  how.stage = 3;
  zero::optimizer z(how);
  for (int layer = 0; layer < layers; ++layer) {
    const std::string name = name_of(layer);
    zero_segment segment = zero::segment_of(name.c_str(), {}, {}, layer);
    segment.count = width * width;
    z.attach(segment);
  }
  z.commit();
  step(z, layers, width * width);
  zero::checkpoint_config keep;
  keep.keep = 0;  // all: the time of a save is not that of removing another
  zero::checkpoint_directory kept(z, folder, keep);
  std::uint64_t saved = 0;
  zero::bench::turns(z.rank()).serve([&](const std::string& word) -> nlohmann::json {
    if (word == "digest") return {{"digest", z.digest()}};
    double together[1] = {0};
    z.sum(together);  // all begin at once
    return zero::bench::seconds_of_turn([&] {
      if (word == "load") {
        if (kept.load().found == 0) throw std::runtime_error("there is no checkpoint to load");
      } else {
        kept.save(++saved);
      }
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw std::runtime_error("peer_checkpoint FOLDER LAYERS WIDTH");
    serve(argv[1], std::stoi(argv[2]), std::stoull(argv[3]));
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "peer_checkpoint: %s\n", problem.what());
    return 1;
  }
  return 0;
}
